"""One new version starts exactly one run: deliveries late, doubled and shuffled, looks, and deaths at any point."""

import contextlib
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.trigger.ledger import Ledger, Version
from pipelines.trigger.settings import Retraining, Settings
from pipelines.trigger.starter import look, run_name, start_waiting
from rats_train.errors import RetryableError

TRAIN = 'rewards.train=[{"name": "a", "path": "a@1"}]'
TOLD = Settings(retrain=[Retraining(reward="a", recipe="emoji", overrides=[TRAIN])])
PACKAGE = Path("retrain.yaml")


class Killed(BaseException):
    """The process dies here."""


class Server:
    """A server whose caller may die just before or just after a run is started, and that may not answer."""

    def __init__(self):
        self.started, self.fault = [], ""

    def find_run(self, name):
        self._answer("down")
        return next((str(number) for number, (known, _) in enumerate(self.started) if known == name), None)

    def start_run(self, name, package, parameters):
        self._answer("before")
        self.started.append((name, parameters))
        self._answer("after")
        return str(len(self.started))

    def _answer(self, moment):
        fault, self.fault = (self.fault, "") if self.fault == moment else ("", self.fault)
        if fault == "down":
            raise RetryableError("no answer")
        if fault:
            raise Killed


def attempt(ledger, server):
    with contextlib.suppress(Killed):
        start_waiting(TOLD, ledger, server, PACKAGE)


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.integers(2, 6), st.integers(0, 30)),
        st.tuples(st.just("look"), st.integers(1, 6), st.just(0)),
        st.tuples(st.just("start"), st.sampled_from(["", "before", "after", "down"]), st.just(0)),
        st.tuples(st.just("restart"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(ACTIONS)
def test_whatever_happens(actions):
    """Version 1 was there before; 2 to 6 come, in any order."""
    with tempfile.TemporaryDirectory() as folder:
        file, server, expected = Path(folder) / "ledger.db", Server(), set()
        ledger = Ledger(file)
        ledger.begin("a", [1])
        for action, value, delivery in actions:
            if action == "deliver":
                # The delivery of one id is always the same delivery.
                version = Version("a", 2 + delivery % 5)
                ledger.receive(str(delivery), version, 0.0, -1.0)
                expected.add(version)
            elif action == "look":
                look(TOLD, lambda name, value=value: range(1, value + 1), ledger)
                expected |= {Version("a", number) for number in range(2, value + 1)}
            elif action == "start":
                server.fault = value
                attempt(ledger, server)
            else:
                ledger = Ledger(file)
        server.fault = ""
        attempt(Ledger(file), server)
        assert sorted(name for name, _ in server.started) == sorted(run_name(version) for version in expected)


def test_a_thousand_deliveries_of_ten_versions(tmp_path):
    shuffled = [(f"{number}-{copy}", Version("a", number)) for number in range(2, 12) for copy in range(50)] * 2
    dice = random.Random(0)
    dice.shuffle(shuffled)
    ledger, server = Ledger(tmp_path / "ledger.db"), Server()
    ledger.begin("a", [1])
    for delivery, version in shuffled:
        ledger.receive(delivery, version, 0.0, -1.0)
        if dice.random() < 0.05:
            server.fault = dice.choice(["", "before", "after", "down"])
            attempt(ledger, server)
            ledger = Ledger(tmp_path / "ledger.db")
    server.fault = ""
    attempt(ledger, server)
    assert sorted(name for name, _ in server.started) == sorted(f"retrain on a@{number}" for number in range(2, 12))
    [parameters] = [parameters for name, parameters in server.started if name == "retrain on a@11"]
    assert parameters["overrides"][-1] == 'rewards.train=[{"name": "a", "path": "a@11"}]'


def test_one_that_cannot_be_started_keeps_no_other_waiting(tmp_path, caplog):
    ledger, server = Ledger(tmp_path / "ledger.db"), Server()
    ledger.add(Version("a", 2))
    ledger.add(Version("a", 3))
    ledger.add(Version("b", 1))
    server.fault = "down"
    start_waiting(TOLD, ledger, server, PACKAGE)
    assert [name for name, _ in server.started] == ["retrain on a@3"]
    assert "retrain on a@2 waits: no answer" in caplog.text
    assert ledger.waiting() == [Version("a", 2), Version("b", 1)]


@pytest.mark.parametrize(("later", "known"), [(900, True), (901, False)])
def test_a_delivery_is_remembered_as_long_as_it_is_valid(tmp_path, later, known):
    ledger = Ledger(tmp_path / "ledger.db")
    assert ledger.receive("d1", None, 0.0, -900.0)
    assert ledger.receive("d1", None, later, later - 900.0) is not known
