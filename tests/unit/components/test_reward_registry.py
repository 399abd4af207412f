"""Registered rewards: one version for the same bytes, frozen with what it is, and nothing else let in."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient

from components.shared.reward_files import fetch, keep
from components.shared.reward_registry import RewardRegistry
from components.shared.tracker import tracker
from components.shared.tracker_address import without_password
from rats_train.errors import RetryableError, UserError
from rats_train.files import sha256_tree
from rats_train.rewards.clip import ClipReward
from rats_train.rewards.folder import registered_folder
from rats_train.rewards.statistics import labelled_pictures
from tests.unit.components.conftest import flip_last_byte


@pytest.fixture
def client(root):
    return MlflowClient(f"sqlite:///{root / 'mlflow.db'}")


def test_a_version_is_its_bytes_its_kind_its_licence_and_its_scale(register, tiny_reward_dir, pictures):
    version, new = register(licence="CC-BY-4.0")
    assert (version.path, version.kind, version.licence, new) == ("tiny@1", "clip", "CC-BY-4.0", True)
    assert version.digest == sha256_tree(registered_folder(version.digest)) == sha256_tree(tiny_reward_dir)
    reward = ClipReward(tiny_reward_dir, "by hand")
    raw = torch.stack([reward.score(one.image[None] / 255, [one.prompt])[0] for one in labelled_pictures(pictures)])
    assert version.statistics.mean == pytest.approx(raw.mean().item(), abs=1e-6)
    assert version.statistics.std == pytest.approx(raw.std(correction=0).item(), rel=1e-3)


def test_the_same_bytes_are_one_version_and_others_the_next(register, other_reward, client):
    register()
    same, new = register()
    assert (same.path, new) == ("tiny@1", False)
    assert register(path=other_reward)[0].path == "tiny@2"
    assert len(client.search_model_versions("name = 'tiny'")) == 2
    assert register()[0].path == "tiny@1"


@pytest.mark.parametrize(
    ("change", "said"), [({"licence": "GPL"}, "licence MIT, not GPL"), ({"kind": "hpsv2"}, "kind clip, not hpsv2")]
)
def test_a_version_is_not_told_otherwise_later(register, change, said):
    register()
    with pytest.raises(UserError, match=rf"These very bytes are tiny@1, registered with {said}"):
        register(**change)


def test_a_version_is_not_measured_again(register, pictures):
    register()
    shutil.copyfile(pictures / "1.png", pictures / "2.png")
    with pytest.raises(UserError, match="These very bytes are tiny@1, registered with measured on"):
        register()


def test_pickles_and_what_else_lies_there_stay_behind(register, tiny_reward_dir, tmp_path, client):
    folder = tmp_path / "cloned"
    shutil.copytree(tiny_reward_dir, folder)
    for name in ("pytorch_model.bin", "training_args.pt", "notes.md"):
        (folder / name).write_bytes(b"x")
    version, _ = register(path=folder)
    stored = {file.path for file in client.list_artifacts(version.run_id, "reward")}
    assert stored == {f"reward/{file.name}" for file in tiny_reward_dir.iterdir()}


def test_tags_tell_no_secret_and_no_place(register, client, tmp_path, monkeypatch):
    for name in ("HF_TOKEN", "MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "s3cret-value")
    version, _ = register()
    (found,) = client.search_model_versions("name = 'tiny'")
    tags = found.tags | client.get_registered_model("tiny").tags | client.get_run(version.run_id).data.tags
    assert {name for name in found.tags if name.startswith("rats.")} == {
        f"rats.{name}" for name in ("kind", "digest", "licence", "measured_on", "mean", "std")
    }
    assert not [name for name, value in tags.items() if "s3cret" in value or str(tmp_path) in value]


def test_an_interrupted_registration_is_taken_up_again(register, client, monkeypatch):
    def cut(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_artifacts", cut)
        with pytest.raises(KeyboardInterrupt):
            register()
    assert register()[0].path == "tiny@1"
    (run,) = client.search_runs([client.get_experiment_by_name("rats-rewards").experiment_id])
    assert run.info.status == "FINISHED"


def test_files_that_changed_in_the_registry_are_refused(register, client):
    version, _ = register()
    artifacts = client.get_run(version.run_id).info.artifact_uri.removeprefix("file://")
    flip_last_byte(next(Path(artifacts).rglob("*.safetensors")))
    shutil.rmtree(registered_folder(version.digest))
    with (
        pytest.raises(UserError, match=r"files of tiny@1 are not those that were registered: their SHA-256 is \w{12}"),
        tracker() as opened,
    ):
        fetch(RewardRegistry(opened), version)
    assert not list(registered_folder("").glob("*"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"name": "tiny@1"}, '"tiny@1" cannot name a reward'),
        ({"name": "a/b"}, '"a/b" cannot name a reward'),
        ({"kind": "hpsv3"}, "no kind hpsv3 of reward models in folders; did you mean hpsv2?"),
        ({"kind": "ocr"}, "no kind ocr of reward models in folders"),
        ({"licence": " "}, "tiny needs a licence"),
        ({"path": "nowhere/at/all"}, "there is no such folder"),
        ({"kind": "image_reward"}, "No ImageReward model for reward tiny"),
        ({"pictures": "nowhere"}, "No nowhere/metadata.jsonl"),
    ],
)
def test_what_cannot_be_registered_is_one_line_and_leaves_no_version(register, client, words, said):
    with pytest.raises(UserError, match=re.escape(said)) as raised:
        register(**words)
    assert "\n" not in str(raised.value)
    assert not client.search_model_versions()


def test_a_folder_without_safetensors_is_refused(tmp_path, root):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"holds no .safetensors file"):
        keep(tmp_path)


def test_a_student_and_a_reward_do_not_share_a_name(register, client):
    client.create_registered_model("rats-emoji")
    with pytest.raises(UserError, match="rats-emoji is a registered model that is no reward"):
        register(name="rats-emoji")


def test_a_version_of_other_making_is_refused(root, client):
    client.create_registered_model("foreign")
    client.create_model_version("foreign", "file:///nowhere")
    with pytest.raises(UserError, match="Version 1 of foreign is no reward that `rats reward register` made"):
        RewardRegistry(client).find("foreign@1")


def test_an_alias_is_answered_with_its_number(register, client):
    register()
    client.set_registered_model_alias("tiny", "champion", "1")
    with pytest.raises(UserError, match="tiny@champion names an alias, which moves: write tiny@1"):
        RewardRegistry(client).find("tiny@champion")
    assert RewardRegistry(client).find("tiny@1").aliases == ("champion",)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("tiny@2", "tiny has no version 2: write a number, such as that of the newest, tiny@1"),
        ("tiny@latest", "tiny has no version latest: write a number"),
        ("tinny@1", "There is no registered reward tinny; did you mean tiny?"),
        ("elsewhere@1", "There is no registered reward elsewhere: make one with `rats reward register`"),
    ],
)
def test_what_is_not_registered_is_answered_with_what_is(register, client, path, said):
    register()
    with pytest.raises(UserError, match=re.escape(said)):
        RewardRegistry(client).find(path)


def test_a_tracker_that_does_not_answer_is_worth_another_try(register, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:s3cret@127.0.0.1:9/x")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RetryableError, match=r"MLflow at http://127\.0\.0\.1:9/x") as raised:
        register()
    assert "s3cret" not in str(raised.value)


def test_an_address_is_shown_without_its_password():
    assert without_password("https://me:pw@tracker:443/a?b") == "https://tracker:443/a?b"
    assert without_password("sqlite:////runs/a@b.db") == "sqlite:////runs/a@b.db"
