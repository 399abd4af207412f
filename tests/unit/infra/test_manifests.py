"""Manifests say only what Kubernetes knows, are safe by the same few rules, and fit together."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from components.shared.code import ROOT
from pipelines.cluster import ENVIRONMENT, KEYS, WORKSPACE
from pipelines.trigger.settings import read_settings
from tests.kubernetes_kinds import wrong_fields
from tests.schemas import schema, violations

INFRA = ROOT / "infra"
KUBERNETES = INFRA / "kubernetes"
FILES = sorted(
    file
    for file in KUBERNETES.rglob("*.yaml")
    if file.name not in ("kustomization.yaml", "trigger.yaml") and file.parent.name != "prod"
)
MANIFESTS = [manifest for file in FILES for manifest in yaml.safe_load_all(file.read_text())]
BUILT_IN = [each for each in MANIFESTS if each["kind"] != "InferenceService"]
PATCHED = yaml.safe_load((KUBERNETES / "overlays/prod/endpoint.yaml").read_text())


def name(manifest):
    return f"{manifest['kind']}-{manifest['metadata']['name']}"


def pod_specs():
    for manifest in MANIFESTS:
        if manifest["kind"] in ("Deployment", "StatefulSet"):
            yield name(manifest), manifest["spec"]["template"]["spec"]
        if manifest["kind"] == "InferenceService":
            yield name(manifest), manifest["spec"]["predictor"]
    yield "canary", PATCHED["spec"]["canary"][0]["predictor"]


PODS = dict(pod_specs())


@pytest.mark.parametrize("manifest", BUILT_IN, ids=name)
def test_kubernetes_knows_every_field(manifest):
    assert wrong_fields(manifest) == []


@pytest.mark.parametrize("manifest", [PATCHED, *(each for each in MANIFESTS if each not in BUILT_IN)], ids=name)
def test_kserve_knows_every_field(manifest):
    assert violations(manifest, schema("inferenceservices")) == []


def test_planted_faults_are_found():
    deployment = next(each for each in BUILT_IN if each["kind"] == "Deployment")
    spec = deployment["spec"] | {"replicaz": 1, "replicas": "two"}
    assert wrong_fields(deployment | {"spec": spec}) == [
        "Deployment.spec.replicas is 'two', not int",
        "Deployment.spec.replicaz is unknown",
    ]
    wrong = yaml.safe_load(yaml.safe_dump(PATCHED))
    wrong["spec"]["predictor"]["minReplica"] = 1
    assert any("minReplica" in each for each in violations(wrong, schema("inferenceservices")))


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_no_pod_is_root_or_may_become_it(pod):
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        assert container["readinessProbe"]


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_every_mounted_volume_is_there(pod):
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    mounted = {mount["name"] for each in pod["containers"] for mount in each.get("volumeMounts", [])}
    assert mounted - volumes <= {"data"}  # that one comes from a claim template


def test_no_secret_is_written_down():
    for file in [*KUBERNETES.rglob("*.yaml"), *(INFRA / "compose").glob("*.yaml")]:
        text = file.read_text()
        assert "kind: Secret" not in text
        assert not re.search(r"(?i)(password|secret|token)\w*:\s+[\"']?[A-Za-z0-9+/]{8,}", text), file


def test_the_role_asks_for_what_the_code_does_and_no_more():
    [role] = [each for each in MANIFESTS if each["kind"] == "Role"]
    asked = {(group, resource, verb) for rule in role["rules"] for group in rule["apiGroups"]
             for resource in rule["resources"] for verb in rule["verbs"]}  # fmt: skip
    assert asked == {
        ("trainer.kubeflow.org", "trainjobs", "create"),
        ("trainer.kubeflow.org", "trainjobs", "get"),
        ("trainer.kubeflow.org", "trainjobs", "delete"),
        ("", "pods", "list"),
        ("", "pods/log", "get"),
    }
    assert not any(each["kind"].startswith("ClusterRole") for each in MANIFESTS)


def test_names_are_those_that_the_pipeline_uses():
    [environment] = [each for each in MANIFESTS if each["kind"] == "ConfigMap"]
    assert environment["metadata"]["name"] == ENVIRONMENT
    claims = {each["metadata"]["name"] for each in MANIFESTS if each["kind"] == "PersistentVolumeClaim"}
    assert "rats-workspace" in claims
    for file in (INFRA / "docker").glob("*.Dockerfile"):
        assert f"RATS_KEYS={KEYS}" in file.read_text()
    assert f"RATS_WORKSPACE={WORKSPACE}" in (INFRA / "docker/train.Dockerfile").read_text()


@pytest.mark.parametrize("file", [*KUBERNETES.rglob("trigger.yaml")], ids=lambda file: file.parent.name)
def test_the_triggers_settings_are_accepted(file):
    assert read_settings(file).retrain


@pytest.mark.parametrize("file", sorted(KUBERNETES.rglob("kustomization.yaml")), ids=lambda file: file.parent.name)
def test_every_file_belongs_to_a_kustomization(file):
    values = yaml.safe_load(file.read_text())
    named = [*values.get("resources", []), *(patch["path"] for patch in values.get("patches", []) if "path" in patch)]
    named += [each for generator in values.get("configMapGenerator", []) for each in generator["files"]]
    assert all((file.parent / each).exists() for each in named)
    here = {each.name for each in file.parent.iterdir()} - {file.name}
    assert here == {Path(each).parts[0] for each in named} - {".."}
    for image in values.get("images", []):
        assert re.fullmatch("sha256:[0-9a-f]{64}", image["digest"])


@pytest.mark.parametrize("overlay", ["dev", "prod"])
def test_kustomize_builds_the_overlay(overlay):
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl")
    built = subprocess.run(
        ["kubectl", "kustomize", KUBERNETES / "overlays" / overlay], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    manifests = list(yaml.safe_load_all(built.stdout))
    assert {"Deployment", "InferenceService", "NetworkPolicy", "Role"} <= {each["kind"] for each in manifests}
    for manifest in manifests:
        if manifest["kind"] == "InferenceService":
            assert violations(manifest, schema("inferenceservices")) == []
        else:
            assert wrong_fields(manifest) == []


def test_images_are_pinned_and_nobody_is_root():
    for file in (INFRA / "docker").glob("*.Dockerfile"):
        text = file.read_text()
        assert all("${PYTHON_IMAGE}" in line for line in text.splitlines() if line.startswith("FROM"))
        assert "needs a digest" in text
        assert "USER 10001:10001" in text
        assert "sbom.json" in text


def test_rules_and_dashboard_name_counters_that_exist():
    known = {"rats_requests_total", "rats_pictures_total", "rats_request_seconds_bucket", "rats_requests_in_flight"}
    texts = [(INFRA / "monitoring" / file).read_text() for file in ("rules.yaml", "dashboard.json")]
    for text in texts:
        found = set(re.findall(r"rats_\w+", text))
        assert found
        assert found <= known
    from serving.gateway.metrics import Metrics

    metrics = Metrics()
    metrics.requests.labels("200").inc()
    metrics.pictures.labels("m", 3).inc()
    metrics.seconds.labels("m", 3).observe(1)
    assert known <= set(re.findall(r"^(rats_\w+)[{ ]", metrics.text().decode(), re.MULTILINE))
