"""Synthetic scores and pictures: invented numbers, for tests of arithmetic and layout alone."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from rats_train.evaluation.draws import Draws, draws_path, save_draws
from rats_train.evaluation.protocol import Protocol
from rats_train.evaluation.scorecard import Scorecard, Settings, build_scorecard
from rats_train.evaluation.scores import ArmScores, Scores
from rats_train.evaluation.watched import WatchPoint
from rats_train.provenance import Machine, Provenance

PROMPTS, PER_PROMPT = 24, 2
KINDS = {
    "reward_a": "trained",
    "reward_b": "heldout",
    "all_correct": "verifier",
    "diversity_pixels": "diversity",
    "diversity_features": "diversity",
}
SETTINGS = Settings(
    student_steps=[3, 5, 8],
    terminal_sigma=0.25,
    teacher_steps=50,
    guidance_scale=3.0,
    bootstrap_samples=500,
    bootstrap_seed=0,
    resolution=32,
)
PROTOCOL = Protocol(
    version=1,
    prompts="p" * 64,
    count=PROMPTS,
    images_per_prompt=PER_PROMPT,
    seeds="s" * 64,
    resolution=[3, 32, 32],
    budgets=[3, 5, 8],
    student_guidance_scale=1.0,
    teacher="t" * 64,
    teacher_steps=50,
    teacher_guidance_scale=3.0,
    teacher_sigmas=[1.0, 0.0],
    solver="euler",
    precision="fp32",
    rewards={"reward_a": "a" * 64, "reward_b": "b" * 64},
    features="reward_b",
)
PROVENANCE = Provenance(
    commit="synthetic",
    recipe="synthetic",
    recipe_digest="0" * 12,
    versions={"python": "3.11"},
    machine=Machine(system="Linux", processor="none", cores=1, memory_gib=1.0, accelerator=None),
    created="2026-01-01T00:00:00+00:00",
)


def arm_scores(role: str, steps: int, guidance: float, level: float, correct: float) -> ArmScores:
    """Scores around ``level``; the noise of a prompt is shared by every arm, as it is in life."""
    shared, own = np.random.default_rng(1), np.random.default_rng([steps, int(guidance), role == "student"])
    count = PROMPTS * PER_PROMPT
    base = level + shared.normal(0, 0.1, PROMPTS).repeat(PER_PROMPT) + own.normal(0, 0.02, count)
    evaluations = steps * (1 if guidance == 1 else 2)
    values = {
        "reward_a": base,
        "reward_b": 0.9 * base + own.normal(0, 0.02, count),
        "all_correct": (shared.random(count) < correct).astype(float),
        "diversity_pixels": 0.2 + own.normal(0, 0.01, PROMPTS),
        "diversity_features": 0.1 + own.normal(0, 0.01, PROMPTS),
    }
    return ArmScores(
        role=role,
        steps=steps,
        guidance_scale=guidance,
        evaluations=evaluations,
        seconds_per_image=0.004 * evaluations + 0.003,
        values={name: value.tolist() for name, value in values.items()},
    )


@pytest.fixture
def make_scores() -> Callable[..., Scores]:
    return synthetic_scores


def synthetic_scores(lead: float = 0.3, correct: float = 0.8) -> Scores:
    """Scores in which the student's rewards lie ``lead`` above its guided teacher's at the same steps."""
    arms = {}
    for steps, level, right in ((3, 0.5, 0.3), (5, 0.6, 0.5), (8, 0.65, 0.6), (50, 0.7, 0.75)):
        arms[f"student_{steps}"] = arm_scores("student", steps, 1.0, level + lead, correct)
        arms[f"teacher_{steps}"] = arm_scores("teacher", steps, 3.0, level, right)
        if steps < 50:
            arms[f"teacher_{steps}_unguided"] = arm_scores("teacher", steps, 1.0, level - 0.05, right)
    return Scores(
        protocol=PROTOCOL,
        prompts=[f"synthetic prompt {number}" for number in range(PROMPTS)],
        tags=[{"category": "even" if number % 2 == 0 else "odd"} for number in range(PROMPTS)],
        images_per_prompt=PER_PROMPT,
        seeds=list(range(PROMPTS * PER_PROMPT)),
        kinds=KINDS,
        arms=arms,
    )


@pytest.fixture
def build_card() -> Callable[[Scores], Scorecard]:
    return lambda scores: build_scorecard(scores, SETTINGS, PROVENANCE)


@pytest.fixture
def make_card(make_scores, build_card) -> Callable[..., Scorecard]:
    return lambda **changes: build_card(make_scores(**changes))


@pytest.fixture
def swap() -> Callable[[Scores], Scorecard]:
    """The scorecard after student and guided teacher have changed places."""

    def swapped(scores: Scores) -> Scorecard:
        arms = dict(scores.arms)
        for steps in (3, 5, 8, 50):
            arms[f"student_{steps}"], arms[f"teacher_{steps}"] = arms[f"teacher_{steps}"], arms[f"student_{steps}"]
        return build_scorecard(scores.model_copy(update={"arms": arms}), SETTINGS, PROVENANCE)

    return swapped


@pytest.fixture
def evaluation_dir(tmp_path, make_scores) -> Path:
    return write_evaluation(tmp_path, make_scores())


def write_evaluation(folder: Path, scores: Scores) -> Path:
    """A folder as evaluation leaves it, with discs for pictures: the fewer the steps, the softer."""
    for name, arm in scores.arms.items():
        images = torch.stack(
            [disc(row, 12 / arm.steps if arm.role == "teacher" else 1.2) for row in range(PROMPTS * 2)]
        )
        save_draws(draws_path(folder, name), Draws(images, 1.0), key="synthetic")
    scores.write(folder / "scores.json")
    build_scorecard(scores, SETTINGS, PROVENANCE).write(folder / "scorecard.json")
    return folder


def disc(row: int, softness: float) -> torch.Tensor:
    """``uint8[3, 32, 32]``: a disc in the colour of its row."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    inside = torch.sigmoid((9 - ((x - 16) ** 2 + (y - 16) ** 2).sqrt()) / softness)
    colour = torch.tensor([(row * 67) % 200 + 30, (row * 31) % 200 + 30, (row * 97) % 200 + 30.0])
    return (245 * (1 - inside) + colour[:, None, None] * inside).to(torch.uint8)


@pytest.fixture
def training_dir(tmp_path) -> Path:
    """A training folder whose student passes its teacher at about step 100."""
    rng, lines = np.random.default_rng(0), []
    for step in range(1, 301):
        teacher = 0.70 + rng.normal(0, 0.03)
        student = 0.78 - 0.2 * np.exp(-step / 110) + rng.normal(0, 0.03)
        gate = 1 / (1 + np.exp((student - teacher) / 0.05))
        row = {"step": step, "reward_student": student, "reward_teacher": teacher, "seconds": 0.5}
        row |= {"gate_mean": gate, "gate_min": gate * 0.5, "gate_max": min(1, gate * 1.5)}
        lines.append(json.dumps(row))
    folder = tmp_path / "training"
    folder.mkdir()
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "result.json").write_text(
        json.dumps({"steps": 300, "seconds": 150.0, "peak_memory": 3 * 2**29, "world_size": 1})
    )
    return folder


@pytest.fixture
def guarded_dir(training_dir) -> Path:
    """The same folder with the records of samples, watch and alarms: the teacher leads on half of the prompts."""
    rng = np.random.default_rng(1)
    samples = [
        {"step": step, "prompt": f"synthetic prompt {number}", "seed": number, "nfe": 3, "gate": 0.5, "shaping": 0.1}
        | {"reward_student": 0.7 + 0.01 * number + rng.normal(0, 0.01), "reward_teacher": 0.8}
        for step in range(1, 301)
        for number in (step % 20, (step + 7) % 20)
    ]
    (training_dir / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in samples))
    kinds = {"reward_a": "trained", "reward_b": "heldout", "all_correct": "verifier", "diversity_pixels": "diversity"}
    looks = [
        WatchPoint(step, 5, kinds, {"reward_a": 1.0, "reward_b": 1.0}, dict.fromkeys(kinds, np.full(32, score)), 1.0)
        for step, score in ((0, 0.4), (100, 0.5), (200, 0.7), (300, 0.6))
    ]
    (training_dir / "watch.jsonl").write_text("".join(json.dumps(look.to_line()) + "\n" for look in looks))
    alarm = {"name": "dead gate", "step": 150, "seen": "All gates were shut.", "cure": "Raise method.tau."}
    (training_dir / "alarms.jsonl").write_text(json.dumps(alarm) + "\n")
    return training_dir
