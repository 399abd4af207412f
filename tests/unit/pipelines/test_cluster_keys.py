"""`rats cluster keys` makes what the secrets in docs/production.md hold, and the endpoint starts from no more."""

import shutil

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from rats_train.errors import UserError
from serving.gateway.settings import public_settings
from serving.keys import trusted_key

ENDPOINT = ("api_keys.json", "pictures.pem", "pictures.pub.pem", "signing.pub.pem")


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setenv("RATS_KEYS", str(tmp_path / "made"))
    assert CliRunner().invoke(app, ["cluster", "keys"]).exit_code == 0
    return tmp_path / "made"


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_second_time_changes_nothing(made):
    before = contents(made)
    assert sorted(before) == ["pictures.pem", "pictures.pub.pem", "signing.pem", "signing.pub.pem"]
    assert CliRunner().invoke(app, ["cluster", "keys"]).exit_code == 0
    assert contents(made) == before


def test_an_endpoint_starts_from_its_secret_without_the_packages_key(made, tmp_path):
    with pytest.raises(UserError, match="no API key"):
        public_settings("0.0.0.0", made)
    assert CliRunner().invoke(app, ["keys", "add", "ann"]).exit_code == 0
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    for name in ENDPOINT:
        shutil.copy(made / name, mounted / name)
    before = contents(mounted)
    assert public_settings("0.0.0.0", mounted).api_keys is not None
    assert trusted_key(mounted).is_file()
    assert contents(mounted) == before
