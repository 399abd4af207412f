"""Students that never drew a picture: scores with the correlations that evaluations of real ones have.

Two students of the embedded world, trained with other settings and drawn for the same prompts and seeds, were seen to
agree with a correlation of about .45 a metric; their differences have a spread of about .5 (rewards) and .8 (rules) of
that of the teacher's pictures, heavy tails, a correlation of about .6 between budgets and .7 between rewards.
"""

import numpy as np

from rats_train.evaluation.protocol import Protocol
from rats_train.evaluation.scores import ArmScores, Scores

KINDS = {
    "reward_a": "trained",
    "reward_b": "heldout",
    "reward_c": "heldout",
    "all_correct": "verifier",
    "diversity_pixels": "diversity",
    "safe": "guard",
}
BUDGETS, PER_PROMPT = [3, 5, 8], 2


def protocol(count: int, **changes: object) -> Protocol:
    values = {
        "version": 1,
        "prompts": "p" * 64,
        "count": count,
        "images_per_prompt": PER_PROMPT,
        "seeds": "s" * 64,
        "resolution": [3, 64, 64],
        "budgets": BUDGETS,
        "student_guidance_scale": 1.0,
        "teacher": "t" * 64,
        "teacher_steps": 50,
        "teacher_guidance_scale": 3.0,
        "teacher_sigmas": [1.0, 0.5, 0.0],
        "solver": "euler",
        "precision": "fp32",
        "rewards": {"reward_a": "a" * 64, "reward_b": "b" * 64, "reward_c": "c" * 64, "safe": "n" * 64},
        "features": "reward_b",
    }
    return Protocol.model_validate(values | changes)


def simulated_student(
    world: int,
    name: str,
    *,
    prompts: int = 128,
    trained: float = 0.0,
    heldout: float = 0.0,
    correct: float = 0.0,
    diversity: float = 1.0,
    unsafe: float = 0.0,
) -> Scores:
    """A student as good as its full teacher, but for the shifts given.

    Args:
        world: seed of what all share: how hard prompts and seeds are, and the teacher's pictures.
        name: with ``world``, the seed of what is the student's own.
        prompts: how many, with two pictures each.
        trained: shift of the trained reward, in standard deviations.
        heldout: shift of the held-out rewards, likewise.
        correct: shift of the share of right pictures, about, in points / 100.
        diversity: factor of its diversity.
        unsafe: share of unsafe pictures.
    """
    shared = np.random.default_rng(world)
    hard = _heavy(shared, prompts).repeat(PER_PROMPT) + 0.6 * _heavy(shared, prompts * PER_PROMPT)
    spread_out = shared.gamma(4, 0.04, prompts)
    arms = {}
    for role, steps in [("teacher", 50), *(("teacher", b) for b in BUDGETS)]:
        level = {50: 0.0, 8: -0.1, 5: -0.3, 3: -0.6}[steps]
        own = _habits(np.random.default_rng([world, 1]), prompts)
        arms[f"{role}_{steps}"] = _arm(
            np.random.default_rng([world, 2, steps]), role, steps, hard, own, spread_out, level, level, 0.0, 1.0, 0.0
        )
    own = _habits(np.random.default_rng([world, *name.encode()]), prompts)
    for steps in BUDGETS:
        rng = np.random.default_rng([world, *name.encode(), steps])
        arms[f"student_{steps}"] = _arm(
            rng, "student", steps, hard, own, spread_out, trained, heldout, correct, diversity, unsafe
        )
    return Scores(
        protocol=protocol(prompts),
        prompts=[f"prompt {number}" for number in range(prompts)],
        tags=[{} for _ in range(prompts)],
        images_per_prompt=PER_PROMPT,
        seeds=list(range(prompts * PER_PROMPT)),
        kinds=KINDS,
        arms=arms,
    )


def _heavy(rng: np.random.Generator, count: int) -> np.ndarray:
    """Heavy-tailed noise of unit spread."""
    return rng.standard_t(4, count) / 2**0.5


def _habits(rng: np.random.Generator, prompts: int) -> np.ndarray:
    """What a student does with a prompt at every budget, image by image: of mean zero over prompts, so no gain."""
    return 0.5 * _heavy(rng, prompts).repeat(PER_PROMPT)


def _arm(rng, role, steps, hard, own, spread_out, trained, heldout, correct, diversity, unsafe) -> ArmScores:
    count = len(hard)
    quality = hard + own + 0.4 * _heavy(rng, count)
    values = {"reward_a": 0.8 + 0.1 * (quality + 0.4 * _heavy(rng, count) + trained)}
    for name in ("reward_b", "reward_c"):
        values[name] = 0.8 + 0.1 * (quality + 0.5 * _heavy(rng, count) + heldout)
    # About 88 % are right where nothing is shifted, and the density there makes a shift of .01 one point.
    values["all_correct"] = (quality + 0.6 * rng.normal(size=count) > -1.55 - correct / 0.16).astype(float)
    values["diversity_pixels"] = diversity * spread_out * rng.lognormal(0, 0.3, len(spread_out))
    values["safe"] = np.where(rng.random(count) < unsafe, 0.1, 0.97)
    return ArmScores(
        role=role,
        steps=steps,
        guidance_scale=1.0 if role == "student" else 3.0,
        evaluations=steps,
        seconds_per_image=0.01,
        values={name: value.tolist() for name, value in values.items()},
    )
