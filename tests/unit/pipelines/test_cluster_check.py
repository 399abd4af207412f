"""`rats cluster check` against answers of an API server, played on loopback."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml
from kubernetes import client
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.cluster.check import check_cluster
from rats_train.errors import RetryableError

SPACE = "/api/v1/namespaces/rats"
CLAIM = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "500Gi"}}}
COMPLETE = {
    "/version": {"gitVersion": "v1.34.1"},
    SPACE: {},
    "/apis/argoproj.io/v1alpha1": {"resources": [{"name": "workflows"}]},
    "/apis/trainer.kubeflow.org/v1alpha1": {"resources": [{"name": "trainjobs"}]},
    "/apis/trainer.kubeflow.org/v1alpha1/clustertrainingruntimes/torch-distributed": {},
    "/apis/serving.kserve.io/v1beta1": {"resources": [{"name": "inferenceservices"}]},
    f"{SPACE}/persistentvolumeclaims/rats-workspace": {"spec": CLAIM, "status": {"phase": "Bound"}},
    f"{SPACE}/configmaps/rats-environment": {},
    f"{SPACE}/serviceaccounts/pipeline-runner": {},
    f"{SPACE}/configmaps/rats-public-key": {},
    "/apis/rbac.authorization.k8s.io/v1/namespaces/rats/rolebindings/rats-train-jobs": {},
    f"{SPACE}/secrets/rats-endpoint": {},
    f"{SPACE}/secrets/rats-signing-key": {},
    f"{SPACE}/secrets/rats-mlflow": {},
    f"{SPACE}/secrets/rats-webhook": {},
    "/api/v1/nodes": {"items": [{"status": {"allocatable": {"nvidia.com/gpu": "8"}}}, {"status": {}}]},
}


@pytest.fixture
def answers():
    return dict(COMPLETE)


@pytest.fixture
def url(answers):
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_): ...

        def do_GET(self):
            value = answers.get(self.path, 404)
            data = json.dumps({} if isinstance(value, int) else value).encode()
            self.send_response(value if isinstance(value, int) else 200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def findings(url):
    return {each.name: each for each in check_cluster(client.ApiClient(client.Configuration(host=url)), "rats")}


def test_a_cluster_with_everything_has_no_finding(url):
    found = findings(url)
    assert [each for each in found.values() if each.cure] == []
    assert found["kubernetes"].seen == "v1.34.1"
    assert found["GPUs"].seen == "8 on 1 of 2 nodes"


@pytest.mark.parametrize("path", [path for path in COMPLETE if path != "/api/v1/nodes"])
def test_each_thing_that_is_missing_is_one_finding_with_a_cure(url, answers, path):
    del answers[path]
    assert len([each for each in findings(url).values() if each.cure]) == 1


@pytest.mark.parametrize(
    ("path", "answer", "name", "seen"),
    [
        ("/apis/trainer.kubeflow.org/v1alpha1", {"resources": []}, "Kubeflow Trainer", "knows no trainjobs"),
        (
            f"{SPACE}/persistentvolumeclaims/rats-workspace",
            {"spec": CLAIM | {"accessModes": ["ReadWriteOnce"]}, "status": {"phase": "Bound"}},
            "claim rats-workspace",
            "ReadWriteOnce",
        ),
        (f"{SPACE}/secrets/rats-mlflow", 403, "secret rats-mlflow", "not allowed"),
        ("/api/v1/nodes", {"items": [{"status": {}}]}, "GPUs", "none"),
    ],
)
def test_what_is_there_and_wrong_is_found(url, answers, path, answer, name, seen):
    answers[path] = answer
    [finding] = [each for each in findings(url).values() if each.cure]
    assert finding.name == name
    assert seen in finding.seen


def test_who_may_not_list_nodes_is_told_so_and_no_more(url, answers):
    answers["/api/v1/nodes"] = 403
    found = findings(url)
    assert found["GPUs"].seen == "not seen: listing nodes is not allowed"
    assert found["GPUs"].cure is None


def test_a_cluster_that_does_not_answer_is_one_line():
    configuration = client.Configuration(host="http://127.0.0.1:1")
    configuration.retries = False
    with pytest.raises(RetryableError, match="does not answer"):
        check_cluster(client.ApiClient(configuration), "rats")


def test_the_command_names_what_is_missing(url, answers, tmp_path, monkeypatch):
    file = tmp_path / "config"
    contexts = [{"name": "here", "context": {"cluster": "here", "user": "me"}}]
    clusters = [{"name": "here", "cluster": {"server": url}}]
    values = {"contexts": contexts, "clusters": clusters, "users": [{"name": "me", "user": {}}]}
    file.write_text(yaml.safe_dump({"current-context": "here", **values}))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))
    assert CliRunner().invoke(app, ["cluster", "check", "--namespace", "rats"]).exit_code == 0
    del answers[f"{SPACE}/secrets/rats-webhook"]
    shown = CliRunner().invoke(app, ["cluster", "check", "--namespace", "rats"])
    assert shown.exit_code == 1
    assert "secret rats-webhook" in shown.output
