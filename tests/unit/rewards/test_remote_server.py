"""What a reward's server says of itself, takes and refuses, and how it tells that it is ill."""

import io

import httpx2
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from rats_train.errors import UserError
from rats_train.recipe_rewards import RewardSpec
from rats_train.rewards.base import Extras, Reward
from rats_train.rewards.build import load_reward
from rats_train.rewards.digest import reward_digest
from rats_train.rewards.preprocess import as_bytes
from rats_train.rewards.remote.client import RewardAwayError, look
from rats_train.rewards.remote.reward import RemoteReward
from rats_train.rewards.remote.wire import MAX_BODY, Description, pack
from reward_server.app import create_app
from reward_server.scorer import Scorer
from tests.reward_servers import served, serving
from tests.tiny_rewards import PROMPTS, noise


def png(images: torch.Tensor) -> bytes:
    file = io.BytesIO()
    Image.fromarray(as_bytes(images)[0]).save(file, "png")
    return file.getvalue()


def post(url: str, body: bytes, kind: str = "application/x-safetensors", **query: str) -> httpx2.Response:
    return httpx2.post(f"{url}/v1/score", content=body, headers={"Content-Type": kind}, params=query)


def test_the_server_says_what_its_reward_is() -> None:
    rules = RewardSpec(name="rules", kind="verifier")
    with served(rules) as url:
        assert httpx2.get(f"{url}/v1/reward").json() == {
            "protocol": 1,
            "name": "rules",
            "kind": "verifier",
            "digest": reward_digest(rules),
            "differentiable": False,
            "low": 0.0,
            "high": 1.0,
            "usual_scale": 0.4,
            "inputs": ["image", "prompt"],
            "pointwise": True,
            "has_features": False,
            "batch_size": 64,
            "memory": 0,
            "max_body": MAX_BODY,
        }
        remote = RemoteReward(url, "rules")
        assert not remote.score(noise().requires_grad_(), PROMPTS).requires_grad
        with pytest.raises(UserError, match="refuses what it was sent: Reward rules has no gradient"):
            remote._client.ask("/v1/score", pack({"images": noise()}, PROMPTS), 3, gradient=True)
        with pytest.raises(UserError, match="Reward rules has no features"):
            remote._client.ask("/v1/features", pack({"images": noise()}), 3)


def test_a_png_is_scored_by_hand(spec: RewardSpec, url: str) -> None:
    answer = post(url, png(noise(1)), "image/png", prompt=PROMPTS[0])
    shown = (noise(1) * 255).round() / 255
    assert answer.json()["score"] == pytest.approx(load_reward(spec).score(shown, PROMPTS[:1]).item(), abs=1e-6)


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        (b"nonsense", "application/x-safetensors", 400, "The body is no safetensors file"),
        (save({"pictures": noise()}), "", 400, r"holds the tensors \['pictures'\]: send one that is named images"),
        (pack({"images": noise()}), "", 400, "The body has no prompts"),
        (pack({"images": noise()}, PROMPTS[:2]), "", 400, "Reward tiny got 2 prompts for 3 pictures"),
        (pack({"images": noise() * torch.nan}, PROMPTS), "", 400, "a pixel that is no finite number"),
        (save({"images": noise()}, {"prompts": "[1, 2, 3]"}), "", 400, "The body has no prompts"),
        (png(noise(1))[:200], "image/png", 400, "The body is no PNG, or it is cut short"),
        (bytes(MAX_BODY + 1), "", 413, "67,108,865 bytes, and 67,108,864 are the most"),
    ],
)
def test_what_is_no_request_is_one_line(url: str, body: bytes, kind: str, status: int, said: str) -> None:
    answer = post(url, body, kind)
    assert answer.status_code == status
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(answer.json()["error"])


def test_bodies_of_unknown_length_and_huge_pictures_are_refused(url: str) -> None:
    assert httpx2.post(f"{url}/v1/score", content=iter([b"x"])).status_code == 411
    huge = io.BytesIO()
    Image.new("1", (5000, 5000)).save(huge, "png")
    answer = post(url, huge.getvalue(), "image/png")
    assert (answer.status_code, answer.json()["error"][:24]) == (400, "The picture is too large")


class Broken(Reward):
    """Fails once, as a reward does whose accelerator has gone."""

    def __init__(self, reward: Reward) -> None:
        super().__init__(reward.name)
        self.traits, self._reward, self._failed = reward.traits, reward, False

    def _values(self, images: torch.Tensor, prompts: list[str], extras: Extras) -> torch.Tensor:
        if not self._failed:
            self._failed = True
            raise RuntimeError("device lost")
        return self._reward._values(images, prompts, extras)


def test_health_tells_a_broken_reward_and_forgets_it_when_one_goes_well(spec: RewardSpec) -> None:
    with served(spec, reward=Broken(load_reward(spec))) as url:
        assert httpx2.get(f"{url}/healthz").json() == {"status": "ok"}
        body = pack({"images": noise()}, PROMPTS)
        assert post(url, body).json() == {"error": "scoring failed: RuntimeError: device lost"}
        assert httpx2.get(f"{url}/healthz").status_code == 503
        assert "device lost" in (look(RewardAwayError("mine", url, "", "")) or "")
        assert post(url, body[:40]).status_code == 400
        assert httpx2.get(f"{url}/healthz").status_code == 503
        assert post(url, body).status_code == 200
        assert httpx2.get(f"{url}/healthz").status_code == 200


def test_the_app_serves_no_more_at_once_than_it_has_places(spec: RewardSpec) -> None:
    scorer = Scorer(load_reward(spec), places=1)
    app = create_app(scorer, Description.of(load_reward(spec), "clip", "abc"))
    with serving(app) as url, scorer.place():
        answer = post(url, pack({"images": noise()}, PROMPTS))
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
