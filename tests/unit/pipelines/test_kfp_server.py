"""What our client asks a Kubeflow Pipelines server for, checked by the API's own description."""

import pytest

from pipelines.cluster.kfp_server import PipelinesServer
from pipelines.compiled import PIPELINES, compile_pipeline
from rats_train.errors import UserError
from tests.fake_kfp import FakeKfp
from tests.schemas import kfp_definitions


@pytest.fixture
def kfp():
    with FakeKfp(kfp_definitions()) as server:
        yield server


@pytest.mark.parametrize("name", PIPELINES)
def test_a_run_is_asked_for_as_the_api_describes_it(kfp, tmp_path, name):
    server = PipelinesServer(kfp.url, "rats")
    made = server.start_run("by hand", compile_pipeline(tmp_path / f"{name}.yaml", name), {"recipe": "emoji"})
    [run] = kfp.things["runs"]
    assert run["run_id"] == made == server.find_run("by hand")
    assert run["runtime_config"]["parameters"] == {"recipe": "emoji"}
    assert "pipeline_version_reference" not in run


def test_a_field_that_the_api_does_not_know_is_refused(kfp, tmp_path):
    server = PipelinesServer(kfp.url, "rats")
    accept, package = kfp.create, compile_pipeline(tmp_path / "pipeline.yaml")
    kfp.create = lambda kind, body: accept(kind, body | {"planted": 1})
    with pytest.raises(UserError, match="planted"):
        server.start_run("by hand", package, {})
    assert kfp.things["runs"] == []
