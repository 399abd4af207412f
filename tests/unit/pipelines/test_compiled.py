"""The pipeline compiles to YAML that KFP's own schema accepts, strictly."""

import copy
import re

import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from components.image import BASE_IMAGE
from components.shared.keys import STEPS as KEYED
from pipelines.compiled import PIPELINES, compile_pipeline
from pipelines.forecast.plan import FEEDS
from pipelines.parts.parameters import SHARED
from pipelines.preflight import check_pipeline
from pipelines.runs import STEPS
from rats_train.errors import UserError


@pytest.fixture(scope="module")
def all_documents(tmp_path_factory):
    """Both documents of every pipeline, by name."""
    folder = tmp_path_factory.mktemp("compiled") / "folder"
    paths = {name: compile_pipeline(folder / f"{name}.yaml", name) for name in PIPELINES}
    return {name: list(yaml.safe_load_all(path.read_text())) for name, path in paths.items()}


@pytest.fixture(scope="module")
def documents(all_documents):
    return all_documents["train_and_deploy"]


@pytest.fixture(scope="module")
def compiled(documents):
    return documents[0]


@pytest.fixture(scope="module")
def options(documents):
    """What Kubernetes is told, by step."""
    executors = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return {name.removeprefix("exec-").replace("-", "_"): values for name, values in executors.items()}


def parse(document):
    return json_format.ParseDict(document, pipeline_spec_pb2.PipelineSpec())


def steps(spec):
    """The tasks that the exit handler waits for."""
    return spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]


@pytest.mark.parametrize("name", PIPELINES)
def test_the_schema_accepts_it_and_would_refuse_an_unknown_field(all_documents, name):
    spec = all_documents[name][0]
    assert parse(spec).pipeline_info.name == name.replace("_", "-")
    with pytest.raises(json_format.ParseError, match="planted"):
        parse(planted(spec, lambda spec: steps(spec)["prepare"].update(planted=1)))


@pytest.mark.parametrize("name", PIPELINES)
def test_the_end_is_reported_whatever_it_is(all_documents, name):
    tasks = all_documents[name][0]["root"]["dag"]["tasks"]
    assert set(tasks) == {"exit-handler-1", "report-end"}
    assert tasks["report-end"]["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"
    given = tasks["report-end"]["inputs"]["parameters"]
    assert given["status"] == {"taskFinalStatus": {"producerTask": "exit-handler-1"}}
    assert ("reward" in given) is (name == "retrain_on_new_reward")


def test_the_trajectories_fan_out_over_what_prepare_dealt(compiled):
    drawing = steps(compiled)["draw-trajectories"]["inputs"]["parameters"]
    assert drawing["shards"]["taskOutputParameter"] == {"producerTask": "prepare", "outputParameterKey": "shards"}
    loop = compiled["components"]["comp-draw-trajectories"]["dag"]["tasks"]["for-loop-1"]
    assert loop["parameterIterator"]["items"]["inputParameter"].endswith("--shards")
    assert "iteratorPolicy" not in loop
    assert compiled["components"]["comp-train-student"]["inputDefinitions"]["artifacts"]["trajectories"][
        "isArtifactList"
    ]


def test_steps_in_loops_and_conditions_are_given_gpus_too(compiled):
    for step in ("generate-trajectories", "train-student", "evaluate-rewards", "promotion-gate", "smoke-test"):
        resources = compiled["deploymentSpec"]["executors"][f"exec-{step}"]["container"]["resources"]
        assert "gpus_per_node" in resources["accelerator"]["resourceCount"]
    for group in ("for-loop-1", "condition-3"):
        assert (
            "pipelinechannel--gpus_per_node"
            in compiled["components"][f"comp-{group}"]["inputDefinitions"]["parameters"]
        )


def test_every_step_runs_our_image_by_digest_and_installs_nothing(compiled):
    executors = compiled["deploymentSpec"]["executors"].values()
    assert {executor["container"]["image"] for executor in executors} == {BASE_IMAGE}
    assert re.search(r"@sha256:[0-9a-f]{64}$", BASE_IMAGE)
    assert not any("pip install" in part for executor in executors for part in executor["container"]["command"])


def test_conditions_compare_with_bare_tokens_only(compiled):
    dags = [component["dag"] for component in compiled["components"].values() if "dag" in component]
    policies = [task.get("triggerPolicy", {}) for dag in dags for task in dag["tasks"].values()]
    conditions = [policy["condition"] for policy in policies if "condition" in policy]
    assert len(conditions) == 2
    assert {literal for condition in conditions for literal in re.findall(r"== (.*?)\)?$", condition)} == {"'promote'"}


def test_prepare_is_never_cached_and_everything_else_has_a_key(compiled):
    tasks = steps(compiled)
    assert not tasks["prepare"].get("cachingOptions", {}).get("enableCache")
    inputs = {name: spec.get("inputDefinitions", {}) for name, spec in compiled["components"].items()}
    for step in KEYED:
        assert "key" in inputs[f"comp-{step.replace('_', '-')}"]["parameters"]


def test_what_no_key_holds_is_never_cached(all_documents):
    """Paths of a recipe, who is champion, what lies at an address, and how this very run ended."""
    uncached = set()
    for spec, _ in all_documents.values():
        graphs = [spec["root"], *(each for each in spec["components"].values() if "dag" in each)]
        tasks = {name: task for graph in graphs for name, task in graph["dag"]["tasks"].items()}
        uncached |= {name for name, task in tasks.items() if task.get("cachingOptions") == {}}
    assert uncached == {"prepare", "key-student", "promotion-gate", "promote-student", "report", "report-end"}


def test_the_docstring_numbers_the_steps_that_run():
    from pipelines.train_and_deploy import train_and_deploy

    numbered = re.findall(r"^ *(\d+)\. ", train_and_deploy.description, re.MULTILINE)
    assert numbered == [str(number + 1) for number in range(len(STEPS))]
    assert tuple(FEEDS) == STEPS
    assert tuple(step for step in STEPS if step not in ("prepare", "promote_student", "report_end")) == KEYED


def test_every_step_shares_the_workspace_and_knows_the_tracker(options):
    for step in (*STEPS, "keep_champion"):
        assert options[step]["pvcMount"][0]["mountPath"] == "/workspace"
        assert options[step]["pvcMount"][0]["pvcNameParameter"]["componentInputParameter"].endswith("workspace_claim")
        assert options[step]["configMapAsEnv"][0]["keyToEnv"][0]["envVar"] == "MLFLOW_TRACKING_URI"


def test_the_schema_of_kubernetes_options_accepts_them(options):
    for values in options.values():
        json_format.ParseDict(values, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
    with pytest.raises(json_format.ParseError, match="planted"):
        json_format.ParseDict({"planted": 1}, kubernetes_executor_config_pb2.KubernetesExecutorConfig())


def test_the_training_is_given_what_its_task_is_given(compiled, options):
    resources = compiled["deploymentSpec"]["executors"]["exec-train-student"]["container"]["resources"]
    assert "gpus_per_node" in resources["accelerator"]["resourceCount"]
    assert "memory_per_node" in resources["resourceMemoryLimit"]
    assert options["train_student"]["tolerations"][0]["key"] == "nvidia.com/gpu"
    passed = compiled["components"]["comp-train-student"]["taskConfigPassthroughs"]
    assert {"RESOURCES", "KUBERNETES_VOLUMES", "ENV", "KUBERNETES_TOLERATIONS"} <= {each["field"] for each in passed}


@pytest.mark.parametrize("name", PIPELINES)
def test_every_parameter_is_described_for_the_form(all_documents, name):
    parameters = all_documents[name][0]["root"]["inputDefinitions"]["parameters"]
    for parameter, described in parameters.items():
        assert described.get("description"), parameter
    assert parameters["recipe"]["description"] == SHARED["recipe"]


def test_the_pipeline_of_the_trigger_is_the_same_pipeline(all_documents, compiled):
    retrain = all_documents["retrain_on_new_reward"][0]
    assert retrain["deploymentSpec"] == compiled["deploymentSpec"]
    assert retrain["components"] == compiled["components"]
    assert "defaultValue" not in retrain["root"]["inputDefinitions"]["parameters"]["reward"]


def planted(compiled, change):
    spec = copy.deepcopy(compiled)
    change(spec)
    return spec


def executor(spec):
    return spec["deploymentSpec"]["executors"]["exec-report"]["container"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda spec: executor(spec).update(image="rats:latest"), "report names its image without a digest"),
        (lambda spec: executor(spec)["command"].append("pip install x"), "report installs packages"),
        (
            lambda spec: spec["components"]["comp-condition-3"]["inputDefinitions"]["parameters"].clear(),
            "package-student asks for pipelinechannel--prepare-package_student, which KFP does not hand down",
        ),
        (lambda spec: steps(spec)["report"].update(retryPolicy={}), "report is retried whatever"),
        (
            lambda spec: steps(spec)["report"].update(triggerPolicy={"condition": "x == 'it is'"}),
            'compares with "it is"',
        ),
        (
            lambda spec: spec["root"]["dag"].update(outputs={"artifacts": {"x": {"artifactSelectors": [1, 2]}}}),
            "x is one of several artifacts",
        ),
    ],
)
def test_every_trap_is_refused(compiled, change, said):
    check_pipeline(compiled)
    with pytest.raises(UserError, match=said):
        check_pipeline(planted(compiled, change))
