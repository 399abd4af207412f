"""Schedules as code, against a stand-in for the API of Kubeflow Pipelines (`tests.fake_kfp`)."""

import pytest
import yaml

from pipelines.cluster.kfp_server import PipelinesServer
from pipelines.cluster.schedules import apply_schedules, read_schedules
from rats_train.errors import RetryableError, UserError
from tests.fake_kfp import FakeKfp
from tests.schemas import FOLDER, kfp_definitions, violations

NIGHTLY = {
    "name": "nightly",
    "cron": "0 30 2 * * *",
    "pipeline": "train_and_deploy",
    "parameters": {"recipe": "emoji", "overrides": ["training.steps=20"]},
}


@pytest.fixture
def kfp():
    with FakeKfp(kfp_definitions() if FOLDER.is_dir() else None) as server:
        yield server


@pytest.fixture
def apply(kfp, tmp_path):
    """A function that applies a file of these schedules."""

    def apply_file(*schedules):
        file = tmp_path / "schedules.yaml"
        file.write_text(yaml.safe_dump({"schedules": list(schedules)}))
        return apply_schedules(read_schedules(file), PipelinesServer(kfp.url, "rats"))

    return apply_file


def test_what_the_server_is_asked_for(apply, kfp):
    assert apply(NIGHTLY) == {"nightly": "created"}
    [run] = kfp.things["recurringruns"]
    assert run["trigger"] == {"cron_schedule": {"cron": "0 30 2 * * *"}}
    assert (run["no_catchup"], run["max_concurrency"], run["mode"]) == (True, "1", "ENABLE")
    assert run["runtime_config"]["parameters"] == NIGHTLY["parameters"]
    assert run["experiment_id"] == kfp.things["experiments"][0]["experiment_id"]


def test_the_cache_cannot_make_a_scheduled_run_hollow(apply, kfp):
    """The pipeline travels whole: by version, the server would drop what is said about caching."""
    apply(NIGHTLY)
    [run] = kfp.things["recurringruns"]
    assert "pipeline_version_reference" not in run
    spec = run["pipeline_spec"].get("pipeline_spec", run["pipeline_spec"])
    [prepared] = [each["dag"]["tasks"]["prepare"] for each in spec["components"].values() if "prepare" in tasks(each)]
    assert not prepared.get("cachingOptions", {}).get("enableCache")


def tasks(component):
    return component.get("dag", {}).get("tasks", {})


def test_a_second_apply_changes_nothing(apply, kfp):
    apply(NIGHTLY, NIGHTLY | {"name": "weekly", "cron": "0 0 3 * * sun"}, NIGHTLY | {"name": "third"})
    before = list(kfp.things["recurringruns"])
    assert set(apply(NIGHTLY, NIGHTLY | {"name": "weekly", "cron": "0 0 3 * * sun"}).values()) == {
        "unchanged",
        "not in this file",
    }
    assert kfp.things["recurringruns"] == before


@pytest.mark.parametrize(
    "change", [{"cron": "0 0 4 * * *"}, {"parameters": {"recipe": "flux1_dev"}}, {"enabled": False}]
)
def test_a_change_replaces_and_what_an_interrupted_apply_left_goes(apply, kfp, change):
    apply(NIGHTLY)
    old = kfp.things["recurringruns"][0]
    kfp.things["recurringruns"].append(old | {"recurring_run_id": "left-over"})
    foreign = old | {"recurring_run_id": "foreign", "description": "made by hand"}
    kfp.things["recurringruns"].append(foreign)
    assert apply(NIGHTLY | change) == {"nightly": "replaced"}
    kept, made = kfp.things["recurringruns"]
    assert kept == foreign
    assert made["recurring_run_id"] not in (old["recurring_run_id"], "left-over")
    assert apply(NIGHTLY | change) == {"nightly": "unchanged"}


def test_a_schedule_that_was_switched_off_by_hand_is_switched_on(apply, kfp):
    apply(NIGHTLY)
    kfp.things["recurringruns"][0]["status"] = "DISABLED"
    assert apply(NIGHTLY) == {"nightly": "replaced"}
    assert [run["status"] for run in kfp.things["recurringruns"]] == ["ENABLED"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cron": "30 2 * * *"}, "the cron of nightly has five fields"),
        ({"pipeline": "train"}, "there is no pipeline train; name one of train_and_deploy"),
        ({"crn": "x"}, "schedules.0.crn: Extra inputs"),
        ({"name": "Nightly run"}, "schedules.0.name"),
    ],
)
def test_a_mistake_in_the_file_is_one_line(apply, change, said):
    with pytest.raises(UserError, match=said):
        apply(NIGHTLY | change)


def test_two_of_one_name_are_refused(apply):
    with pytest.raises(UserError, match="nightly twice"):
        apply(NIGHTLY, NIGHTLY)


def test_a_server_that_is_down_is_worth_another_try(kfp):
    server = PipelinesServer(kfp.url, "rats")
    kfp.outage = True
    with pytest.raises(RetryableError, match="answers 503"):
        server.recurring_runs()


def test_a_planted_field_would_be_found():
    described = {"$ref": "#/definitions/v2beta1RecurringRun", "definitions": kfp_definitions()}
    assert violations({"display_name": "x"}, described) == []
    assert violations({"display_name": "x", "enable_caching": False}, described)
    assert violations({"trigger": {"cron_schedule": {"cron": 3}}}, described)
