"""Overlays as kustomize builds them: they say only what Kubernetes knows, are safe by a few rules, and fit together."""

import copy
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from components.shared.code import ROOT
from components.train_student.train_job import API_VERSION
from pipelines.cli import app
from pipelines.cluster.check import ACCOUNT
from pipelines.parts.placement import ENVIRONMENT, KEYS, SIGNING_KEY, WORKSPACE
from pipelines.trigger.settings import read_settings
from tests.kubernetes_kinds import wrong_fields
from tests.schemas import schema, violations

INFRA = ROOT / "infra"
KUBERNETES = INFRA / "kubernetes"
OVERLAYS = ("dev", "prod")
# What people make by hand, because the repository holds no secret: docs/production.md tells of each.
BY_HAND = {"rats-mlflow", "rats-webhook", "rats-postgres", "rats-endpoint", "rats-public-key"}


@cache
def built(overlay):
    """The manifests of an overlay, as a cluster is given them."""
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl")
    ended = subprocess.run(
        ["kubectl", "kustomize", KUBERNETES / "overlays" / overlay], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return list(yaml.safe_load_all(ended.stdout))


@pytest.fixture(params=OVERLAYS)
def manifests(request):
    return built(request.param)


def of_kind(manifests, *kinds):
    return [each for each in manifests if each["kind"] in kinds]


def name(manifest):
    return f"{manifest['kind']}-{manifest['metadata']['name']}"


def pods(manifests):
    """Every pod that the manifests ask for, as (name, labels, spec)."""
    for each in of_kind(manifests, "Deployment", "StatefulSet"):
        template = each["spec"]["template"]
        yield name(each), template["metadata"]["labels"], template["spec"]
    for each in of_kind(manifests, "CronJob"):
        template = each["spec"]["jobTemplate"]["spec"]["template"]
        yield name(each), template["metadata"]["labels"], template["spec"]
    for each in of_kind(manifests, "InferenceService"):
        for spec in (each["spec"]["predictor"], *(canary["predictor"] for canary in each["spec"].get("canary", []))):
            yield name(each), spec["labels"], spec


def wrong(manifest):
    """What Kubernetes, or KServe, has against a manifest."""
    if manifest["kind"] == "InferenceService":
        return violations(manifest, schema("inferenceservices"))
    return wrong_fields(manifest)


def unsafe(spec):
    """What lets a pod do more than it has to."""
    security, found = spec.get("securityContext", {}), []
    if security.get("runAsNonRoot") is not True or security.get("seccompProfile") != {"type": "RuntimeDefault"}:
        found.append("may be root, or call anything")
    for container in spec["containers"]:
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False or own.get("capabilities") != {"drop": ["ALL"]}:
            found.append("may become more than it is")
        if not container["resources"]["limits"].get("memory"):
            found.append("may take all memory")
        if "readinessProbe" not in container and spec.get("restartPolicy") != "Never":
            found.append("is asked for before it is ready")
        if not re.fullmatch(r"\S+@sha256:[0-9a-f]{64}", container["image"]):
            found.append(f"runs {container['image']}, whatever that is today")
    return found


def unmounted(spec):
    """Volumes that are mounted and not there."""
    volumes = {volume["name"] for volume in spec.get("volumes", [])}
    mounted = {mount["name"] for each in spec["containers"] for mount in each.get("volumeMounts", [])}
    return mounted - volumes - {"data"}  # that one comes from a claim template


def test_kubernetes_knows_every_field_and_misses_none(manifests):
    known = [each for each in manifests if each["kind"] != "InferenceService"]
    assert {name(each): wrong(each) for each in known if wrong(each)} == {}


def test_kserve_knows_every_field(manifests):
    [endpoint] = of_kind(manifests, "InferenceService")
    assert wrong(endpoint) == []


def test_no_pod_may_do_more_than_it_has_to(manifests):
    assert [(pod, unsafe(spec)) for pod, _, spec in pods(manifests) if unsafe(spec)] == []
    assert [(pod, unmounted(spec)) for pod, _, spec in pods(manifests) if unmounted(spec)] == []
    assert not any(each["kind"].startswith("ClusterRole") for each in manifests)


def changed(manifest, path, value):
    copied = copy.deepcopy(manifest)
    *way, last = path
    place = copied
    for key in way:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return copied


POD = ("spec", "template", "spec")
PREDICTOR = ("spec", "predictor")


@pytest.mark.parametrize(
    ("kind", "path", "value", "said"),
    [
        ("Deployment", ("spec", "replicaz"), 1, "Deployment.spec.replicaz is unknown"),
        ("Deployment", ("spec", "replicas"), "two", "Deployment.spec.replicas is 'two', not int"),
        ("Deployment", ("spec", "selector"), None, "`selector`, must not be `None`"),
        ("StatefulSet", (*POD, "containers", 0, "name"), None, "`name`, must not be `None`"),
        ("NetworkPolicy", ("spec", "ingres"), [], "ingres is unknown"),
        ("PodDisruptionBudget", ("spec", "minAvailible"), 1, "minAvailible is unknown"),
        ("ResourceQuota", ("spec", "hard"), ["8"], "hard is no mapping"),
        ("Role", ("rules", 0, "verb"), ["get"], "verb is unknown"),
        ("RoleBinding", ("roleRef",), None, "must not be `None`"),
        ("PersistentVolumeClaim", ("spec", "accessMode"), "ReadWriteMany", "accessMode is unknown"),
        ("Service", ("spec", "ports", 0, "port"), None, "`port`, must not be `None`"),
        ("ConfigMap", ("data",), "x", "data is no mapping"),
        ("ServiceAccount", ("automountServiceAccountToken",), "no", "not bool"),
        ("InferenceService", (*PREDICTOR, "minReplica"), 1, "minReplica"),
        ("InferenceService", ("spec", "canary"), [{"trafficPercentage": 10}], "trafficPercentage"),
    ],
)
def test_a_planted_wrong_field_is_caught(kind, path, value, said):
    [manifest, *_] = of_kind([*built("prod"), *built("dev")], kind)
    assert wrong(manifest) == []
    assert said in str(wrong(changed(manifest, path, value)))


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("securityContext", "runAsNonRoot"), None, "root"),
        (("containers", 0, "securityContext", "capabilities"), None, "more than it is"),
        (("containers", 0, "resources", "limits"), {}, "all memory"),
        (("containers", 0, "readinessProbe"), None, "before it is ready"),
        (("containers", 0, "image"), "rats-train:latest", "rats-train:latest"),
        (("containers", 0, "securityContext"), None, "more than it is"),
    ],
)
def test_a_pod_that_was_made_unsafe_is_caught(path, value, said):
    for _, _, spec in pods(built("prod")):
        if spec.get("restartPolicy") == "Never" and path[-1] == "readinessProbe":
            continue  # nobody asks it for anything
        assert said in str(unsafe(changed(spec, path, value)))


SOURCES = {"secretRef": "Secret", "secretKeyRef": "Secret", "secret": "Secret", "configMap": "ConfigMap"}
SOURCES |= {
    "configMapRef": "ConfigMap",
    "configMapKeyRef": "ConfigMap",
    "persistentVolumeClaim": "PersistentVolumeClaim",
}


def references(node):
    """What a pod names, as (kind, name)."""
    if isinstance(node, list):
        return {found for each in node for found in references(each)}
    if not isinstance(node, dict):
        return set()
    found = {found for each in node.values() for found in references(each)}
    for key, value in node.items():
        if key in SOURCES:
            found.add((SOURCES[key], value.get("name") or value.get("claimName") or value.get("secretName")))
        if key == "serviceAccountName":
            found.add(("ServiceAccount", value))
    return found


def test_everything_that_is_named_is_there(manifests):
    there = {(each["kind"], each["metadata"]["name"]) for each in manifests}
    named = {found for _, _, spec in pods(manifests) for found in references(spec)}
    assert {kind for kind, _ in named} == {"Secret", "ConfigMap", "PersistentVolumeClaim", "ServiceAccount"}
    by_hand = {each for _, each in named - there}
    assert by_hand <= BY_HAND | {ACCOUNT}
    production = (ROOT / "docs/production.md").read_text()
    assert all(f"`{each}`" in production for each in by_hand | {SIGNING_KEY})


def test_services_policies_and_budgets_select_pods_that_there_are(manifests):
    labels = [labels for _, labels, _ in pods(manifests)]
    ports = {
        each.get("name") for _, _, spec in pods(manifests) for c in spec["containers"] for each in c.get("ports", [])
    }

    def selects(wanted):
        return any(wanted.items() <= found.items() for found in labels)

    for each in of_kind(manifests, "Service"):
        assert selects(each["spec"]["selector"]), name(each)
        assert {port.get("targetPort", port["name"]) for port in each["spec"]["ports"]} <= ports
    for each in of_kind(manifests, "NetworkPolicy"):
        selector = each["spec"]["podSelector"]
        values = [value for rule in selector.get("matchExpressions", []) for value in rule["values"]]
        for value in values or [selector["matchLabels"]["app.kubernetes.io/name"]]:
            assert selects({"app.kubernetes.io/name": value}), name(each)
    for each in of_kind(manifests, "PodDisruptionBudget"):
        assert selects(each["spec"]["selector"]["matchLabels"]), name(each)


def test_every_pod_has_a_policy_for_both_ways(manifests):
    policies = [each["spec"] for each in of_kind(manifests, "NetworkPolicy")]
    for pod, labels, _ in pods(manifests):
        own = [each for each in policies if each["podSelector"].get("matchLabels", {}).items() <= labels.items()]
        own = [each for each in own if "matchLabels" in each["podSelector"]]
        assert {way for each in own for way in each["policyTypes"]} == {"Ingress", "Egress"}, pod


def test_a_budget_leaves_room_to_drain_a_node():
    replicas = {each["metadata"]["name"]: each["spec"].get("replicas") for each in of_kind(built("prod"), "Deployment")}
    [endpoint] = of_kind(built("prod"), "InferenceService")
    replicas[endpoint["metadata"]["name"]] = endpoint["spec"]["predictor"]["minReplicas"]
    budgets = of_kind(built("prod"), "PodDisruptionBudget")
    assert len(budgets) == 2
    for each in budgets:
        assert each["spec"]["minAvailable"] < replicas[each["metadata"]["name"]]


def test_the_canary_is_the_stable_endpoint_but_for_its_folder():
    [endpoint] = of_kind(built("prod"), "InferenceService")
    assert endpoint["spec"]["predictor"]["maxReplicas"] > endpoint["spec"]["predictor"]["minReplicas"]
    [canary] = endpoint["spec"]["canary"]
    [one], [other] = (
        copy.deepcopy(each["containers"]) for each in (canary["predictor"], endpoint["spec"]["predictor"])
    )
    paths = [mount.pop("subPath") for each in (one, other) for mount in each["volumeMounts"] if "subPath" in mount]
    assert paths == ["models-canary", "models"]
    one["readinessProbe"].pop("initialDelaySeconds", None)
    other["readinessProbe"].pop("initialDelaySeconds", None)
    assert one == other
    assert canary["predictor"]["volumes"] == endpoint["spec"]["predictor"]["volumes"]


def test_the_trigger_is_told_the_image_that_it_runs_in(manifests):
    [trigger] = [spec for pod, _, spec in pods(manifests) if pod == "Deployment-rats-trigger"]
    [container] = trigger["containers"]
    [told] = [each["value"] for each in container["env"] if each["name"] == "RATS_TRAIN_IMAGE"]
    assert told == container["image"]


def test_the_role_asks_for_what_the_code_does_and_no_more(manifests):
    [role] = of_kind(manifests, "Role")
    asked = {(group, resource, verb) for rule in role["rules"] for group in rule["apiGroups"]
             for resource in rule["resources"] for verb in rule["verbs"]}  # fmt: skip
    trainer = API_VERSION.partition("/")[0]
    assert asked == {
        *((trainer, "trainjobs", verb) for verb in ("create", "get", "delete")),
        ("", "pods", "list"),
        ("", "pods/log", "get"),
    }


def test_what_is_deployed_is_what_the_endpoint_serves():
    [job] = of_kind(built("prod"), "CronJob")
    [container] = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert CliRunner().invoke(app, [container["args"][1], "--help"]).exit_code == 0
    [endpoint] = of_kind(built("prod"), "InferenceService")
    served = [endpoint["spec"]["canary"][0]["predictor"], endpoint["spec"]["predictor"]]
    folders = [
        mount["subPath"] for each in served for mount in each["containers"][0]["volumeMounts"] if "subPath" in mount
    ]
    assert container["args"][2:] == [f"{WORKSPACE}/{folder}" for folder in folders]


def test_names_are_those_that_the_pipeline_uses(manifests):
    there = {name(each) for each in manifests}
    assert {f"ConfigMap-{ENVIRONMENT}", "PersistentVolumeClaim-rats-workspace"} <= there
    mounts = [
        mount for _, _, spec in pods(manifests) for c in spec["containers"] for mount in c.get("volumeMounts", [])
    ]
    assert KEYS in {mount["mountPath"] for mount in mounts}
    assert WORKSPACE == "/workspace"


def test_no_secret_is_written_down():
    for file in [*KUBERNETES.rglob("*.yaml"), *(INFRA / "compose").glob("*.yaml")]:
        text = file.read_text()
        assert "kind: Secret" not in text
        assert not re.search(r"(?i)(password|secret|token)\w*:\s+[\"']?[A-Za-z0-9+/]{8,}", text), file


@pytest.mark.parametrize("file", [*KUBERNETES.rglob("trigger.yaml")], ids=lambda file: file.parent.name)
def test_the_triggers_settings_are_accepted(file):
    assert read_settings(file).retrain


@pytest.mark.parametrize("file", sorted(INFRA.rglob("kustomization.yaml")), ids=lambda file: file.parent.name)
def test_every_file_belongs_to_a_kustomization(file):
    values = yaml.safe_load(file.read_text())
    named = [each for key in ("resources", "components", "configurations") for each in values.get(key, [])]
    named += [patch["path"] for patch in values.get("patches", []) if "path" in patch]
    named += [each for generator in values.get("configMapGenerator", []) for each in generator["files"]]
    assert all((file.parent / each).exists() for each in named)
    here = {each.name for each in file.parent.iterdir()} - {file.name}
    assert here == {Path(each).parts[0] for each in named} - {".."}
