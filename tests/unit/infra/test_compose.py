"""The compose file for one box: hardened, by digest, on loopback, with commands and volumes that there are."""

import pytest
import yaml
from typer.testing import CliRunner

from components.shared.code import ROOT
from pipelines.cli import app
from pipelines.parts.placement import KEYS, WORKSPACE

FILE = ROOT / "infra/compose/compose.yaml"
COMPOSE = yaml.safe_load(FILE.read_text())
SERVICES = COMPOSE["services"]


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_a_service_may_do_no_more_than_it_has_to(service):
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["image"].endswith("_IMAGE:?an image by digest}")
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_every_volume_is_there_and_mounted_where_the_images_look():
    mounts = {each for service in SERVICES.values() for each in service["volumes"]}
    assert {each.split(":")[0] for each in mounts} == set(COMPOSE["volumes"])
    assert {each.split(":")[1] for each in mounts} == {WORKSPACE, KEYS}
    dockerfile = (ROOT / "infra/docker/Dockerfile").read_text()
    assert f"--owner=10001 --group=10001 {WORKSPACE} {KEYS}" in dockerfile


def test_its_commands_are_commands():
    said = [line.partition("run --rm train ")[2] for line in FILE.read_text().splitlines()]
    commands = [line.split() for line in said if line] + [SERVICES["endpoint"]["command"]]
    assert len(commands) == 3
    for command in commands:
        words = [word for word in command[1:3] if word.isalpha() and word != "emoji"]
        assert CliRunner().invoke(app, [*words, "--help"]).exit_code == 0
