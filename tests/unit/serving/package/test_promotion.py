import json
import shutil

import pytest

from rats_train.errors import UserError
from serving.keys import signing_keys
from serving.package.promotion import promote, roll_back, served, withdraw
from serving.package.verification import find_packages
from serving.packaging.deployment import deploy
from serving.packaging.student import package_student
from serving.protocol import ModelConfig


@pytest.fixture(scope="module")
def three_versions(tiny_student_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("promotion")
    for name in ("two owls", "a fox", "one cat"):  # the hints differ, and so the versions
        package_student(tiny_student_dir, folder / "repo", prompts=[name], keys=folder / "keys")
    return folder


@pytest.fixture
def repo(three_versions, tmp_path):
    return shutil.copytree(three_versions / "repo", tmp_path / "repo")


@pytest.fixture
def public(three_versions):
    return signing_keys(three_versions / "keys").public


def test_the_first_version_is_served_until_another_is_promoted(repo, public):
    assert served(repo / "student") == 1
    assert promote(repo, 3, public_key=public).version == 3
    assert [package.version for package in find_packages(repo, public)] == [3]


def test_rolling_back_returns_to_the_version_before_and_back_again(repo, public):
    promote(repo, 3, public_key=public)
    promote(repo, 2, public_key=public)
    assert [roll_back(repo, public_key=public).version for _ in range(2)] == [3, 2]
    history = [json.loads(line) for line in (repo / "student/promotions.jsonl").read_text().splitlines()]
    assert [(each["from"], each["to"], each["why"]) for each in history] == [
        (1, 3, "promoted"),
        (3, 2, "promoted"),
        (2, 3, "rolled back"),
        (3, 2, "rolled back"),
    ]


def test_promoting_what_is_served_changes_nothing(repo, public):
    promote(repo, 1, public_key=public)
    assert not (repo / "student/promotions.jsonl").exists()


def test_a_version_that_a_server_refused_is_withdrawn(repo, public):
    (package,) = find_packages(repo, public)
    promote(repo, 2, public_key=public)
    withdraw(package, 2, "it draws another canary")
    assert served(repo / "student") == 1
    assert "refused: it draws another canary" in (repo / "student/promotions.jsonl").read_text()


def test_the_kind_of_instance_is_kept(repo, public):
    (repo / "student/config.pbtxt").write_text(ModelConfig("student", False, 1, "KIND_CPU").text())
    promote(repo, 2, public_key=public)
    assert (repo / "student/config.pbtxt").read_text() == ModelConfig("student", False, 2, "KIND_CPU").text()


def test_promoting_repairs_the_configuration(repo, public):
    (repo / "student/config.pbtxt").write_text("nonsense")
    promote(repo, 2, public_key=public)
    assert served(repo / "student") == 2


@pytest.mark.parametrize(
    ("spoil", "version", "message"),
    [
        (lambda repo: None, 7, r"has no version 7: it holds versions 1, 2, 3"),
        (lambda repo: (repo / "student/2/canary.png").write_bytes(b""), 2, r"Hash mismatch for 'canary\.png'"),
        (lambda repo: (repo / "student/2/extra.json").write_text("{}"), 2, r"extra\.json"),
        (lambda repo: (repo / "student/2/l.json").symlink_to("/etc/hosts"), 2, r"l\.json is a link"),
    ],
)
def test_a_version_that_is_not_what_was_signed_is_not_promoted(repo, public, spoil, version, message):
    spoil(repo)
    with pytest.raises(UserError, match=message):
        promote(repo, version, public_key=public)
    assert served(repo / "student") == 1


def test_without_an_earlier_version_there_is_nothing_to_go_back_to(repo, public):
    with pytest.raises(UserError, match="nothing to go back to"):
        roll_back(repo, public_key=public)


def test_a_config_that_names_a_missing_version_says_what_to_promote(repo, public):
    shutil.rmtree(repo / "student/1")
    with pytest.raises(UserError, match="is to serve version 1, which is not there: `rats switch` to one of 2, 3"):
        find_packages(repo, public)


def test_a_student_is_brought_into_another_repository_and_served_there(repo, public, tmp_path):
    promote(repo, 3, public_key=public)
    (first,) = deploy(repo, tmp_path / "served", public_key=public)
    assert (first.version, served(tmp_path / "served/student")) == (1, 1)
    assert first.hints == find_packages(repo, public)[0].hints
    promote(repo, 2, public_key=public)
    assert [deploy(repo, tmp_path / "served", public_key=public)[0].version for _ in range(2)] == [2, 2]
    assert served(tmp_path / "served/student") == 2
    assert roll_back(tmp_path / "served", public_key=public).version == 1
    assert sorted(path.name for path in (tmp_path / "served").iterdir()) == ["student"]


def test_a_changed_byte_is_brought_nowhere(repo, public, tmp_path):
    deploy(repo, tmp_path / "served", public_key=public)
    promote(repo, 2, public_key=public)
    with (repo / "student/2/canary.png").open("ab") as file:
        file.write(b"x")
    with pytest.raises(UserError, match=r"canary\.png"):
        deploy(repo, tmp_path / "served", public_key=public)
    assert served(tmp_path / "served/student") == 1
    assert len(list((tmp_path / "served").iterdir())) == 1
