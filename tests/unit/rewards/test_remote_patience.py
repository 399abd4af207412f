"""A remote reward whose server is absent, busy, broken or another one: patience, or one clear line."""

import logging
import threading
import time

import pytest
import torch
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from rats_train.errors import UserError
from rats_train.recipe_rewards import RewardSpec
from rats_train.rewards.base import Extras, Reward
from rats_train.rewards.build import load_reward
from rats_train.rewards.digest import reward_digest
from rats_train.rewards.remote import client
from rats_train.rewards.remote.client import RewardAwayError, RewardClient, look
from rats_train.rewards.remote.reward import RemoteReward
from rats_train.rewards.remote.wire import Description, pack
from tests.reward_servers import free_port, served, serving
from tests.tiny_rewards import PROMPTS, noise


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(client, "BUSY_PATIENCE", 2.0)


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
