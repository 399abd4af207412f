import subprocess

import pytest

from rats_train.provenance import describe_provenance, source_commit


@pytest.fixture
def repository(tmp_path):
    def git(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        return subprocess.run(["git", "-C", tmp_path, *identity, *words], check=True, capture_output=True, text=True)

    git("init", "-q")
    (tmp_path / "code.py").write_text("one\n")
    git("add", "code.py")
    git("commit", "-qm", "one")
    return tmp_path, git("rev-parse", "HEAD").stdout.strip()


def test_commit_says_when_the_code_was_changed_since(repository):
    folder, head = repository
    assert source_commit(folder) == head
    (folder / "code.py").write_text("two\n")
    assert source_commit(folder) == f"{head}+changes"


def test_code_without_a_repository_has_no_commit(tmp_path):
    assert source_commit(tmp_path) == "unknown"


def test_provenance_names_what_the_numbers_depend_on():
    found = describe_provenance("emoji", "0123456789ab")
    assert found.versions["numpy"] == "1.26.4"
    assert {"python", "torch", "diffusers"} <= set(found.versions)
    assert found.machine.cores >= 1
    assert found.machine.memory_gib > 0
    assert (found.recipe, found.recipe_digest) == ("emoji", "0123456789ab")
