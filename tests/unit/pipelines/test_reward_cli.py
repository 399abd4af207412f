"""`rats reward`: what is meant by a reward, conversions by name, and one line for every mistake."""

import signal

import httpx2
import pytest
import torch
from typer.testing import CliRunner

from pipelines.cli import app
from rats_train.errors import UserError
from rats_train.recipe_rewards import RewardSpec, Statistics
from rats_train.rewards.aesthetic import HEAD_FILE
from rats_train.rewards.digest import reward_digest
from rats_train.rewards.score_head import ScoreHead
from reward_server.server import read_spec
from tests.reward_servers import start_process
from tests.tiny_rewards import randomised


@pytest.mark.parametrize(
    ("written", "spec"),
    [
        ("ocr", {"name": "ocr", "kind": "ocr"}),
        ("embedded:a", {"name": "reward", "path": "embedded:a"}),
        ("{kind: hpsv2, path: models/hpsv2}", {"name": "hpsv2", "kind": "hpsv2", "path": "models/hpsv2"}),
        (
            "{name: mine, path: m, statistics: {mean: 1, std: 2}}",
            {"name": "mine", "path": "m", "statistics": Statistics(mean=1, std=2)},
        ),
    ],
)
def test_a_reward_is_written_as_in_a_recipe_or_shorter(tmp_path, written, spec):
    assert read_spec(written) == RewardSpec(**spec)
    (tmp_path / "reward.yaml").write_text(written)
    assert read_spec(str(tmp_path / "reward.yaml")) == RewardSpec(**spec)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{kind: hpsv3, path: a}", "kind: there is no kind hpsv3 of reward; perhaps hpsv2 is meant"),
        ("{kind: hpsv2}", "reward hpsv2 of kind hpsv2 names no path"),
        ("{path: a, wheight: 2}", "wheight: Extra inputs are not permitted"),
        ("[a]", "is no reward"),
        ("{a", "is not YAML"),
        ("http://127.0.0.1:8100", "is served already"),
    ],
)
def test_what_is_no_reward_is_one_line(written, said):
    with pytest.raises(UserError) as caught:
        read_spec(written)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_serving_says_where_and_what_and_ends_when_asked():
    process, url = start_process("verifier")
    try:
        assert url.startswith("http://127.0.0.1:")
        about = httpx2.get(f"{url}/v1/reward").json()
        assert (about["kind"], about["digest"]) == ("verifier", reward_digest(RewardSpec(name="v", kind="verifier")))
        process.send_signal(signal.SIGTERM)
        said = process.stdout.read()
        assert process.wait(timeout=30) == 0
        assert f'- {{name: verifier, path: "{url}"}}' in said
    finally:
        process.kill()


def convert(*words):
    return CliRunner().invoke(app, ["reward", "convert", *map(str, words)])


def test_a_released_checkpoint_becomes_a_folder(tmp_path, tiny_reward_dir):
    torch.save(randomised(ScoreHead(16)).state_dict(), tmp_path / "head.pth")
    done = convert("aesthetic", tmp_path / "head.pth", tmp_path / "out", "--parts", tiny_reward_dir)
    assert done.exit_code == 0, done.output
    assert f"{{name: aesthetic, kind: aesthetic, path: {tmp_path / 'out'}}}" in done.output.replace("\n", "")
    assert (tmp_path / "out" / HEAD_FILE).is_file()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            "pickscore",
            "Rewards of kind pickscore are not made of released checkpoints: write one of hpsv2, image_reward",
        ),
        ("hpsv2", "No checkpoint"),
        ("image_reward", "No checkpoint"),
    ],
)
def test_what_cannot_be_converted_is_one_line(tmp_path, tiny_reward_dir, kind, said):
    failed = convert(kind, tmp_path / "absent.pt", tmp_path / "out", "--parts", tiny_reward_dir)
    assert isinstance(failed.exception, UserError)
    assert said in str(failed.exception)
