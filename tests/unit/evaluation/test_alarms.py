"""Each alarm rings for its planted fault, at the right time, and for nothing that a healthy run does."""

import numpy as np
import pytest

from rats_train.evaluation.alarms import Alarm, exploding_gradients, find_alarms
from rats_train.evaluation.watched import WatchPoint

KINDS = {
    **{"a": "trained", "b": "heldout", "all_correct": "verifier"},
    **{"diversity_pixels": "diversity", "diversity_features": "diversity"},
}
PROMPTS, LOOKS, STEPS = 32, 13, 300


def watch(seed=0, trained=None, heldout=None, correct=None, diversity=None, features=None, wiggle=0.004, jitter=0.03):
    """Looks of a run: curves by metric, on prompts of very different rewards, with the noise of real checkpoints."""
    rng = np.random.default_rng(seed)
    progress = 1 - np.exp(-np.arange(LOOKS) / 4)
    curves = {
        "a": 0.5 + 0.15 * progress if trained is None else trained,
        "b": 0.45 + 0.12 * progress if heldout is None else heldout,
        "diversity_pixels": 0.2 - 0.05 * progress if diversity is None else diversity,
    }
    features = 0.2 - 0.05 * progress if features is None else features
    levels = {name: rng.normal(0, 0.12 if name in "ab" else 0.02, PROMPTS) for name in curves}
    right = 0.2 + 0.3 * progress if correct is None else correct
    points = []
    for look in range(LOOKS):
        values = {
            name: curve[look] + levels[name] + rng.normal(0, wiggle) + rng.normal(0, jitter, PROMPTS)
            for name, curve in curves.items()
        }
        values["diversity_features"] = features[look] + np.random.default_rng([seed, look]).normal(0, jitter, PROMPTS)
        values["all_correct"] = rng.binomial(2, right[look], PROMPTS) / 2
        points.append(WatchPoint(25 * look, 5, KINDS, {"a": 1.0, "b": 1.0}, values, 1.0))
    return points


def falling_watch():
    falling = 0.2 * 0.8 ** np.arange(LOOKS)
    return watch(diversity=falling, features=falling)


def steps(seed=0, gate=None, norm=None):
    """Lines of a run whose gate closes from 0.7 to 0.2, and whose gradients are noisy with spikes."""
    rng = np.random.default_rng(seed)
    gate = np.linspace(0.7, 0.2, STEPS) if gate is None else gate
    norm = np.full(STEPS, 0.8) if norm is None else norm
    lines = []
    for step in range(STEPS):
        gates = np.clip(gate[step] + rng.normal(0, 0.15 * min(gate[step], 1 - gate[step]), 16), 0, 1)
        size = norm[step] * rng.lognormal(0, 0.4) * (30 if rng.random() < 0.02 else 1)
        lines.append({"step": step + 1, "gate_min": gates.min(), "gate_max": gates.max(), "grad_norm": size})
    return lines


def names(alarms: list[Alarm]) -> list[str]:
    return [alarm.name for alarm in alarms]


@pytest.mark.parametrize("seed", range(40))
def test_a_healthy_noisy_run_is_silent(seed) -> None:
    assert find_alarms(steps(seed), watch(seed)) == []


@pytest.mark.parametrize("jitter", [0.03, 0.005])
@pytest.mark.parametrize("seed", range(20))
def test_a_plateau_with_wiggles_is_silent(seed, jitter) -> None:
    """The held-out reward stands still while the trained one creeps on: no gain, but nothing is lost."""
    flat = np.minimum(0.45 + 0.03 * np.arange(LOOKS), 0.55)
    points = watch(seed, heldout=flat, correct=np.full(LOOKS, 0.4), wiggle=0.008, jitter=jitter)
    assert find_alarms(steps(seed), points) == []


def test_no_record_is_no_alarm() -> None:
    assert find_alarms([], []) == []
    assert find_alarms([{"step": 1, "loss": 0.1}], watch()[:1]) == []


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("falling", ["b", "all_correct"])
def test_reward_hacking(seed, falling) -> None:
    look = np.arange(LOOKS)
    trained = 0.5 + 0.03 * look
    heldout = np.where(look < 5, 0.45 + 0.02 * look, 0.55 - 0.03 * (look - 5))
    correct = np.where(look < 5, 0.2 + 0.12 * look, 0.8 - 0.12 * (look - 5)).clip(0.02, 1)
    fault = {"heldout": heldout} if falling == "b" else {"correct": correct}
    (alarm,) = find_alarms(steps(seed), watch(seed, trained=trained, **fault))
    assert (alarm.name, falling in alarm.seen) == ("reward hacking", True)
    assert 25 * 6 <= alarm.step <= 25 * 10
    assert "trained reward held or rose" in alarm.seen


def test_a_trained_reward_without_room_to_rise_is_hacked_all_the_same() -> None:
    """As in 2050 steps of `reward_only`: +.013 of the trained reward, -.068 of the held-out one."""
    look = np.arange(LOOKS)
    trained = 0.85 + 0.001 * look
    (alarm,) = find_alarms([], watch(trained=trained, heldout=0.84 - 0.01 * look, wiggle=0.0, jitter=0.003))
    assert (alarm.name, "at step 0" in alarm.seen) == ("reward hacking", True)


@pytest.mark.parametrize("seed", range(10))
def test_a_run_that_falls_apart_on_all_sides_is_no_hacking(seed) -> None:
    down = 0.5 - 0.03 * np.arange(LOOKS)
    assert names(find_alarms(steps(seed), watch(seed, trained=down, heldout=down, correct=down.clip(0)))) == []


def test_reward_hacking_from_the_first_look_on() -> None:
    look = np.arange(LOOKS)
    (alarm,) = find_alarms([], watch(trained=0.5 + 0.03 * look, heldout=0.5 - 0.03 * look))
    assert "at step 0" in alarm.seen


@pytest.mark.parametrize("seed", range(10))
def test_diversity_collapse(seed) -> None:
    falling = 0.2 * 0.85 ** np.arange(LOOKS)
    (alarm,) = find_alarms(steps(seed), watch(seed, diversity=falling, features=falling))
    assert alarm.name == "diversity collapse"
    assert 25 * 5 <= alarm.step <= 25 * 7


def test_one_look_without_diversity_is_no_collapse() -> None:
    diversity = np.full(LOOKS, 0.2)
    diversity[6] = 0.02
    assert find_alarms([], watch(diversity=diversity, features=diversity)) == []


@pytest.mark.parametrize("measure", ["diversity", "features"])
def test_pictures_that_differ_by_one_measure_are_no_collapse(measure) -> None:
    assert find_alarms([], watch(**{measure: 0.2 * 0.85 ** np.arange(LOOKS)})) == []


@pytest.mark.parametrize(("level", "said"), [(0.004, "below 0.05"), (0.997, "above 0.95")])
def test_dead_gate(level, said) -> None:
    gate = np.where(np.arange(STEPS) < 100, 0.5, level)
    (alarm,) = find_alarms(steps(gate=gate), [])
    assert (alarm.name, alarm.step) == ("dead gate", 150)
    assert said in alarm.seen


def test_a_gate_that_is_shut_now_and_then_is_alive() -> None:
    gate = np.where(np.arange(STEPS) % 40 == 0, 0.3, 0.004)
    assert find_alarms(steps(gate=gate), []) == []


def test_gates_that_differ_between_prompts_are_alive() -> None:
    assert find_alarms([{"step": step, "gate_min": 0.0, "gate_max": 1.0} for step in range(1, 101)], []) == []


@pytest.mark.parametrize("seed", range(10))
def test_exploding_gradients(seed) -> None:
    (alarm,) = find_alarms(steps(seed, norm=0.8 * np.where(np.arange(STEPS) < 200, 1, 25)), [])
    assert (alarm.name, "grad_norm rose from" in alarm.seen) == ("exploding gradients", True)
    assert 200 < alarm.step <= 210


def test_gradients_of_every_role_are_looked_at_and_slow_growth_too() -> None:
    norms = 0.5 * 1.02 ** np.arange(STEPS)
    lines = [{"step": step + 1, "grad_norm": 1.0, "critic_grad_norm": norm} for step, norm in enumerate(norms)]
    (alarm,) = find_alarms(lines, [])
    assert alarm.seen.startswith("critic_grad_norm rose")
    assert exploding_gradients(np.arange(59.0), np.arange(59.0)) is None


def test_a_stage_of_training_is_compared_with_its_own_beginning() -> None:
    """RTDMD's second stage records its groups' rewards as well, and has gradients ten times as long by design."""
    first = [{"step": step, "grad_norm": 0.2} for step in range(1, 101)]
    second = [{"step": step, "grad_norm": 2.5, "reward_group": 0.8} for step in range(101, 201)]
    assert find_alarms(first + second, []) == []
    exploded = [line | {"grad_norm": 30.0} for line in second[80:]]
    (alarm,) = find_alarms(first + second[:80] + exploded, [])
    assert (alarm.name, 180 < alarm.step <= 190) == ("exploding gradients", True)


def test_a_finding_stays_the_same_while_the_curve_grows() -> None:
    lines, points = steps(gate=np.full(STEPS, 0.004)), falling_watch()
    whole = find_alarms(lines, points)
    assert names(whole) == ["dead gate", "diversity collapse"]
    for done in range(0, STEPS + 1, 25):
        part = find_alarms(lines[:done], points[: 1 + done // 25])
        assert part == [alarm for alarm in whole if alarm.step <= done]
