import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from rats_train.errors import UserError
from rats_train.files import sha256_tree
from rats_train.resolution import Resolution
from serving.keys import signing_keys
from serving.package.promotion import promote
from serving.package.verification import find_packages, verify_package
from serving.packaging.publishing import next_version
from serving.packaging.student import package_student


@pytest.fixture
def keys(tmp_path):
    return tmp_path / "keys"


@pytest.fixture
def version(tiny_student_dir, tmp_path, keys):
    return package_student(tiny_student_dir, tmp_path / "repo", prompts=["two owls", "a fox"], keys=keys)


def test_a_version_is_what_the_server_needs_to_know(version, keys, tiny_student_dir):
    package = verify_package(version, signing_keys(keys).public)
    assert (package.model, package.version, package.steps) == ("student", 1, [3, 5, 8])
    assert (package.terminal_sigma, package.guidance_scale) == (0.25, 1.0)
    assert package.resolution == Resolution(height=64, width=64)
    assert package.hints.examples == ["two owls", "a fox"]
    assert sha256_tree(package.student) == sha256_tree(tiny_student_dir)
    pixels = package.canary_pixels()
    assert pixels.shape == (64, 64, 3)
    assert pixels.std() > 1


def test_no_key_travels_in_the_repository(version, keys):
    private = signing_keys(keys).private.read_bytes()
    files = [path for path in version.parents[1].rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not any(private in path.read_bytes() or b"PRIVATE KEY" in path.read_bytes() for path in files)


def test_the_same_student_again_is_the_same_version(version, tiny_student_dir, tmp_path, keys):
    again = package_student(tiny_student_dir, tmp_path / "repo", prompts=["two owls", "a fox"], keys=keys)
    assert again == version
    assert sorted(path.name for path in version.parent.iterdir()) == ["1", "config.pbtxt"]
    assert sorted(path.name for path in version.parents[1].iterdir()) == ["student"]


def test_another_student_is_the_next_version_and_served_when_promoted(version, tiny_student_dir, tmp_path, keys):
    repo, public = tmp_path / "repo", signing_keys(keys).public
    assert package_student(other_student(tiny_student_dir, tmp_path), repo, keys=keys).name == "2"
    assert [package.version for package in find_packages(repo, public)] == [1]
    promote(repo, 2, public_key=public)
    (package,) = find_packages(repo, public)
    assert (package.version, package.steps) == (2, [4])


def other_student(student, folder):
    """A copy of `student` for other step counts."""
    other = shutil.copytree(student, folder / "other")
    card = json.loads((other / "rats_student.json").read_text())
    (other / "rats_student.json").write_text(json.dumps(card | {"steps": [4]}))
    return other


@pytest.mark.parametrize("change", ["corrupt", "other key"])
def test_packaging_again_repairs_a_version_that_is_refused(version, tiny_student_dir, tmp_path, keys, change):
    if change == "corrupt":
        (version / "canary.png").write_bytes(b"")
    else:
        keys = tmp_path / "new keys"
    again = package_student(tiny_student_dir, tmp_path / "repo", prompts=["two owls", "a fox"], keys=keys)
    assert again.name == "2"
    (package,) = find_packages(tmp_path / "repo", signing_keys(keys).public)  # and served, in place of the bad one
    assert package.version == 2


def test_packaging_again_repairs_the_configuration(version, tiny_student_dir, tmp_path, keys):
    (version.parent / "config.pbtxt").unlink()
    package_student(tiny_student_dir, tmp_path / "repo", prompts=["two owls", "a fox"], keys=keys)
    verify_package(version, signing_keys(keys).public)


def test_packagers_thatnext_version_together_take_different_numbers(tmp_path):
    (tmp_path / "student").mkdir()
    drafts = [tmp_path / f".staging-{i}" for i in range(8)]
    for draft in drafts:
        draft.mkdir()
        (draft / "name.txt").write_text(draft.name)
    with ThreadPoolExecutor(8) as pool:
        published = list(pool.map(lambda draft: next_version(draft, tmp_path / "student"), drafts))
    assert sorted(path.name for path in published) == [*"12345678"]
    assert [(path / "name.txt").read_text() for path in published] == [draft.name for draft in drafts]


def test_a_changed_configuration_is_refused(version, keys):
    # It names the backend: "python" instead of "fewstep" would run code that nobody verified.
    config = version.parent / "config.pbtxt"
    config.write_text(config.read_text().replace("fewstep", "python"))
    with pytest.raises(UserError, match=r"config\.pbtxt is missing or not as this release writes it"):
        verify_package(version, signing_keys(keys).public)


def test_a_version_under_another_name_is_refused(version, keys, tmp_path):
    moved = version.parent.rename(tmp_path / "repo/champion") / "1"
    with pytest.raises(UserError, match="holds the model 'student'"):
        verify_package(moved, signing_keys(keys).public)


def test_a_folder_that_is_no_student_is_refused(tiny_pipeline_dir, tmp_path, keys):
    with pytest.raises(UserError, match=r"no rats_student\.json"):
        package_student(tiny_pipeline_dir, tmp_path / "repo", keys=keys)


def test_a_student_with_a_pickle_is_refused_and_nothing_is_left(tiny_student_dir, tmp_path, keys):
    student = shutil.copytree(tiny_student_dir, tmp_path / "student")
    (student / "vae/weights.bin").write_bytes(b"")
    with pytest.raises(UserError, match=r"vae/weights\.bin does not belong"):
        package_student(student, tmp_path / "repo", keys=keys)
    assert list((tmp_path / "repo").iterdir()) == []


def test_an_empty_repository_says_what_to_do(tmp_path, keys):
    with pytest.raises(UserError, match="rats package"):
        find_packages(tmp_path, signing_keys(keys).public)


def test_the_scorecard_travels_along(tiny_student_dir, tmp_path, keys):
    scorecard = tmp_path / "scorecard.json"
    scorecard.write_text('{"nfe": {}}')
    version = package_student(tiny_student_dir, tmp_path / "repo", scorecard, keys=keys)
    assert (version / "scorecard.json").read_text() == '{"nfe": {}}'
    verify_package(version, signing_keys(keys).public)
