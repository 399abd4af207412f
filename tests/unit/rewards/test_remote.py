"""A remote reward over real HTTP: the numbers of the local one; patience, or one clear line, where its server fails."""

import io
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import torch
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from PIL import Image
from safetensors.torch import save

from rats_train.errors import UserError
from rats_train.recipe_rewards import RewardSpec, Statistics
from rats_train.rewards.base import Extras, Reward
from rats_train.rewards.build import load_reward
from rats_train.rewards.digest import reward_digest
from rats_train.rewards.preprocess import as_bytes
from rats_train.rewards.remote import client
from rats_train.rewards.remote.client import RewardAwayError, RewardClient, look
from rats_train.rewards.remote.reward import RemoteReward
from rats_train.rewards.remote.wire import MAX_BODY, Description, pack
from reward_server.app import create_app
from reward_server.scorer import Scorer
from tests.reward_servers import free_port, served, serving
from tests.tiny_rewards import PROMPTS, aesthetic_dir, image_reward_dir, noise


@pytest.fixture(scope="module")
def spec(tiny_reward_dir: Path) -> RewardSpec:
    return RewardSpec(name="tiny", path=str(tiny_reward_dir))


@pytest.fixture(scope="module")
def url(spec: RewardSpec) -> Iterator[str]:
    with served(spec) as address:
        yield address


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(client, "BUSY_PATIENCE", 2.0)


def scored(reward: Reward) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores, and the gradient of a sum in which every picture weighs differently."""
    images = noise().requires_grad_()
    score = reward.score(images, PROMPTS)
    return score.detach(), torch.autograd.grad((score * torch.tensor([1.0, -2.0, 0.5])).sum(), images)[0]


@pytest.mark.parametrize("kind", ["clip", "hpsv2", "pickscore", "aesthetic", "image_reward"])
@pytest.mark.parametrize("statistics", [None, Statistics(mean=0.2, std=0.1)])
def test_score_and_gradient_are_those_of_the_local_reward(
    tiny_reward_dir: Path, tmp_path: Path, kind: str, statistics: Statistics | None
) -> None:
    path = tiny_reward_dir
    if kind == "aesthetic":
        path = aesthetic_dir(tmp_path / kind, path)
    if kind == "image_reward":
        path = image_reward_dir(tmp_path / kind)
    here = RewardSpec(name="tiny", kind=kind, path=str(path))
    with served(here) as url:
        score, gradient = scored(load_reward(RewardSpec(name="tiny", path=url, statistics=statistics)))
        assert reward_digest(RewardSpec(name="other", path=url)) == reward_digest(here)
    expected, slope = scored(load_reward(here.model_copy(update={"statistics": statistics})))
    assert torch.equal(score, expected)
    assert (gradient - slope).abs().max() <= 1e-6
    # Scaled by powers of two the gradient has the very bits; else it is rounded at the end, not all the way.
    assert (gradient - slope).norm() <= (3e-6 if statistics else 0) * slope.norm()


def test_nothing_is_asked_of_the_server_on_the_way_back(spec: RewardSpec) -> None:
    images = noise().requires_grad_()
    with served(spec) as url:
        score = RemoteReward(url, "tiny").score(images, PROMPTS)
    score.sum().backward()
    assert (images.grad != 0).any()


def test_gradient_is_asked_for_only_where_it_is_needed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    ask = RewardClient.ask
    monkeypatch.setattr(
        RewardClient, "ask", lambda *words, gradient: asked.append(gradient) or ask(*words, gradient=gradient)
    )
    remote = RemoteReward(url, "tiny")
    remote.score(noise(), PROMPTS)
    with torch.no_grad():
        remote.score(noise().requires_grad_(), PROMPTS)
    remote.score(noise().requires_grad_(), PROMPTS)
    assert asked == [False, False, True]


def test_many_pictures_go_in_requests_that_fit(spec: RewardSpec, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []
    ask = RewardClient.ask
    monkeypatch.setattr(
        RewardClient,
        "ask",
        lambda self, path, body, rows, **way: sizes.append((rows, len(body))) or ask(self, path, body, rows, **way),
    )
    remote = RemoteReward(url, "tiny")
    remote._max_body = 2 * 3 * 64 * 64 * 4 * 8 // 7
    images, prompts = noise(5), [*PROMPTS, *PROMPTS[:2]]
    torch.testing.assert_close(remote.score(images, prompts), load_reward(spec).score(images, prompts))
    assert [rows for rows, _ in sizes] == [2, 2, 1]
    assert all(size <= remote._max_body for _, size in sizes)


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


def test_a_reward_without_bounds_has_none_from_afar(tmp_path: Path) -> None:
    with served(RewardSpec(name="ir", kind="image_reward", path=str(image_reward_dir(tmp_path / "i")))) as url:
        traits = RemoteReward(url, "ir").traits
    assert (traits.low, traits.high) == (-float("inf"), float("inf"))


def test_a_server_declares_the_range_that_its_statistics_make() -> None:
    rules = RewardSpec(name="rules", kind="verifier", statistics=Statistics(mean=0.5, std=0.25))
    with served(rules) as url:
        remote = RemoteReward(url, "rules")
        assert (remote.traits.low, remote.traits.high, remote.traits.usual_scale) == (-2, 2, 1)
        assert remote.score(noise(), PROMPTS).tolist() == [-2, -2, -2]


def test_features_are_those_of_the_local_reward(spec: RewardSpec, url: str) -> None:
    assert torch.equal(RemoteReward(url, "tiny").image_features(noise()), load_reward(spec).image_features(noise()))


def png(images: torch.Tensor) -> bytes:
    file = io.BytesIO()
    Image.fromarray(as_bytes(images)[0]).save(file, "png")
    return file.getvalue()


def post(url: str, body: bytes, kind: str = "application/x-safetensors", **query: str) -> httpx2.Response:
    return httpx2.post(f"{url}/v1/score", content=body, headers={"Content-Type": kind}, params=query)


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


def test_a_picture_that_the_reward_refuses_is_not_sent_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = RemoteReward(url, "mine")
    monkeypatch.setattr(client.time, "sleep", lambda _: pytest.fail("it waited"))
    with pytest.raises(UserError, match=r"^Reward mine got 2 prompts for 3 pictures[^\n]*$"):
        remote.score(noise(), PROMPTS[:2])
    with pytest.raises(
        UserError, match=r"^Reward mine at http://\S+ refuses what it was sent: Reward tiny got [^\n]*$"
    ):
        remote._client.ask("/v1/score", pack({"images": noise()}, PROMPTS[:2]), 3)


def test_an_absent_server_is_asked_again_with_growing_pauses_and_then_named(monkeypatch: pytest.MonkeyPatch) -> None:
    now, pauses = [0.0], []
    monkeypatch.setattr(client.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(
        client.time, "sleep", lambda seconds: (pauses.append(seconds), now.__setitem__(0, now[0] + seconds))
    )
    monkeypatch.setattr(client, "FIRST_PAUSE", 0.25)
    with pytest.raises(RewardAwayError) as caught:
        RemoteReward(f"http://127.0.0.1:{free_port()}", "mine", patience=60)
    assert all(0.125 * 2**i <= pause <= 0.25 * 2**i for i, pause in enumerate(pauses[:6]))
    assert all(7.5 <= pause <= 15 for pause in pauses[6:])
    assert 40 < now[0] <= 60
    assert "Reward mine does not answer at http://127.0.0.1:" in str(caught.value)
    assert "start it there with `rats reward serve`, then run the same command again." in str(caught.value)
    assert caught.value.exit_code == 75


def test_a_server_that_comes_up_is_found_and_who_waits_long_says_so(
    spec: RewardSpec, caplog: pytest.LogCaptureFixture
) -> None:
    port, stop = free_port(), threading.Event()

    def come_up() -> None:
        time.sleep(0.3)
        with served(spec, port=port):
            stop.wait(20)

    late = threading.Thread(target=come_up)
    late.start()
    try:
        with caplog.at_level(logging.WARNING):
            remote = RemoteReward(f"http://127.0.0.1:{port}", "mine", patience=600)
        assert torch.equal(remote.score(noise(), PROMPTS), load_reward(spec).score(noise(), PROMPTS))
    finally:
        stop.set()
        late.join()
    (line,) = [record.getMessage() for record in caplog.records if record.name == client.__name__]
    assert f"Reward mine does not answer at http://127.0.0.1:{port}" in line
    assert "asking again for 10 minutes" in line


class Slow(Reward):
    """Takes its time."""

    def __init__(self, reward: Reward, seconds: float) -> None:
        super().__init__(reward.name)
        self.traits, self._reward, self._seconds = reward.traits, reward, seconds

    def _values(self, images: torch.Tensor, prompts: list[str], extras: Extras) -> torch.Tensor:
        time.sleep(self._seconds)
        return self._reward._values(images, prompts, extras)


def test_a_full_queue_is_waited_for(spec: RewardSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four ask at once where one at a time is let in; all are served, and the others were told to come again."""
    reward, found, told = load_reward(spec), [], []
    attempt = RewardClient._try
    monkeypatch.setattr(RewardClient, "_try", lambda *words: told.append(answer := attempt(*words)) or answer)
    monkeypatch.setattr("reward_server.app.RETRY_SECONDS", 0)
    with served(spec, places=1, reward=Slow(reward, 0.1)) as url:
        remotes = [RemoteReward(url, f"rank{i}") for i in range(4)]
        asking = [
            threading.Thread(target=lambda remote=remote: found.append(remote.score(noise(), PROMPTS)))
            for remote in remotes
        ]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
    assert len(found) == 4
    assert all(torch.equal(score, reward.score(noise(), PROMPTS)) for score in found)
    assert any(getattr(answer, "reason", "") == "it is busy" for answer in told)


def played(answers: list[Response], description: Description) -> FastAPI:
    """A server that gives these answers in turn to who wants a score, the last one ever after."""
    app = FastAPI()
    app.get("/v1/reward")(lambda: description)
    app.post("/v1/score")(lambda: answers.pop(0) if len(answers) > 1 else answers[0])
    app.get("/healthz")(lambda: answers[0])
    return app


@pytest.fixture(scope="module")
def description(spec: RewardSpec) -> Description:
    return Description.of(load_reward(spec), "clip", "abc" * 20)


def good(digest: str = "abc" * 20) -> Response:
    return Response(pack({"score": torch.ones(3)}), headers={"X-Reward-Digest": digest})


def test_a_busy_server_is_given_the_time_that_it_asks_for(description: Description) -> None:
    busy = Response(status_code=503, headers={"Retry-After": "1"})
    with serving(played([busy, good()], description)) as url:
        remote = RemoteReward(url, "mine", patience=0.5)
        began = time.monotonic()
        assert remote.score(noise(), PROMPTS).tolist() == [1, 1, 1]
        assert 1 <= time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Response(status_code=429, headers={"Retry-After": "1"}), "it is busy"),
        (JSONResponse({"error": "out\nof memory"}, 500), "it answers 500: out of memory"),
        (Response("<h1>Bad Gateway</h1>", 502), "it answers 502: <h1>Bad Gateway</h1>"),
    ],
)
def test_a_server_that_stays_busy_or_broken_is_away(
    description: Description, answer: Response, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "BUSY_PATIENCE", 0.5)
    with serving(played([answer], description)) as url:
        remote = RemoteReward(url, "mine", patience=0.2)
        with pytest.raises(RewardAwayError) as caught:
            remote.score(noise(), PROMPTS)
    assert caught.value.reason == reason


def test_a_server_that_hangs_is_away(spec: RewardSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ANSWER_SECONDS", 0.1)
    with served(spec, reward=Slow(load_reward(spec), 0.3)) as url:
        remote = RemoteReward(url, "mine", patience=0)
        with pytest.raises(RewardAwayError, match="no answer in time"):
            remote.score(noise(), PROMPTS)


def test_another_reward_at_the_same_address_is_refused(description: Description) -> None:
    with serving(played([good("def" * 20)], description)) as url:
        with pytest.raises(UserError, match=r"no longer what this run began with \(digest defdefdefdef, before abcab"):
            RemoteReward(url, "mine").score(noise(), PROMPTS)
        with pytest.raises(UserError, match=r"Reward mine at http://\S+ is no longer what this run began with"):
            look(RewardAwayError("mine", url, "before" * 10, "it was killed"))


def test_what_is_no_reward_server_is_one_line(description: Description) -> None:
    with serving(FastAPI()) as url, pytest.raises(UserError, match=r"^What answers at [^\n]* is no reward server"):
        RemoteReward(url, "mine")
    short = Response(pack({"score": torch.ones(2)}), headers={"X-Reward-Digest": "abc" * 20})
    with serving(played([short], description)) as url, pytest.raises(UserError, match="is no reward server"):
        RemoteReward(url, "mine").score(noise(), PROMPTS)


def test_looking_tells_whether_it_can_score_again(spec: RewardSpec, url: str) -> None:
    digest = reward_digest(spec)
    assert look(RewardAwayError("mine", url, digest, "it was killed")) is None
    absent = look(RewardAwayError("mine", f"http://127.0.0.1:{free_port()}", digest, "it was killed"))
    assert absent is not None
    assert "refused" in absent


class Broken(Slow):
    """Fails once, as a reward does whose accelerator has gone."""

    def _values(self, images: torch.Tensor, prompts: list[str], extras: Extras) -> torch.Tensor:
        self._seconds += 1
        if self._seconds == 1:
            raise RuntimeError("device lost")
        return self._reward._values(images, prompts, extras)


def test_health_tells_a_broken_reward_and_forgets_it_when_one_goes_well(spec: RewardSpec) -> None:
    with served(spec, reward=Broken(load_reward(spec), 0)) as url:
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
