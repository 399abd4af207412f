"""The scorecard: every comparison that promotion, tracking and the report need, each with its interval.

Stability: ``nfe`` keeps its shape, ``{"3": {"<reward>": {"teacher_50", "teacher_same_nfe", "student", "gap",
"ci95"}}}``; other fields may be added.
"""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from rats_train.config import Recipe
from rats_train.evaluation.arm_names import student_arm, teacher_arm, unguided_arm
from rats_train.evaluation.bootstrap import Interval, bootstrap_mean, paired_bootstrap
from rats_train.evaluation.categories import CategoryRow, compare_categories
from rats_train.evaluation.discrepancy import Discrepancy
from rats_train.evaluation.document import Document
from rats_train.evaluation.preference import Preference
from rats_train.evaluation.protocol import Protocol
from rats_train.evaluation.scores import Kind, Scores
from rats_train.provenance import Provenance

NOTE = (
    "nfe keys are the student's steps, one evaluation each. teacher_same_nfe takes as many steps on the same noise "
    "levels with guidance, which costs it two evaluations a step; teacher_unguided takes them without guidance, one "
    "evaluation a step. teacher_50 is the teacher on its full schedule (settings.teacher_steps). "
    "Gaps are student minus teacher over the same prompts and seeds; ci95 resamples prompts."
)


class _Card(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Comparison(_Card):
    """One metric at one budget. ``gap*`` are student minus that teacher, ``ci95*`` their 95 % intervals."""

    kind: Kind
    student: float
    teacher_50: float
    teacher_same_nfe: float
    teacher_unguided: float | None
    gap: float
    ci95: Interval
    gap_50: float
    ci95_50: Interval
    gap_unguided: float | None
    ci95_unguided: Interval | None


class Mean(_Card):
    """Mean of one metric over one arm, with its 95 % interval over prompts."""

    mean: float
    ci95: Interval


class ArmSummary(_Card):
    """One arm: its cost, alone and as a share of the full teacher's, and its means."""

    role: str
    steps: int
    guidance_scale: float
    evaluations: int
    evaluations_ratio: float
    seconds_per_image: float
    seconds_ratio: float
    means: dict[str, Mean]
    distance: Discrepancy | None


class Settings(_Card):
    """How the arms were drawn and resampled."""

    student_steps: list[int]
    terminal_sigma: float
    teacher_steps: int
    guidance_scale: float
    bootstrap_samples: int
    bootstrap_seed: int
    resolution: int


class Scorecard(Document):
    """Student against teacher over the same held-out prompts and seeds.

    Attributes:
        nfe: budget -> reward -> comparison, trained and held-out rewards alike.
        quality: budget -> ``all_correct``, ``scene_likeness`` or a diversity -> comparison.
        categories: every kind of prompt at every budget, against the full teacher.
        arms: arm name -> cost, means, and the distance of its pictures from the full teacher's as distributions.
        protocol: how all of this was measured.
        evaluation_digest: the protocol in 12 hex digits; scorecards with equal ones may be compared.
        preferences: what people preferred, where they were asked (`rats vote`).
    """

    called: ClassVar[str] = "a scorecard"
    cure: ClassVar[str] = "evaluate again"

    nfe: dict[str, dict[str, Comparison]]
    quality: dict[str, dict[str, Comparison]]
    categories: list[CategoryRow]
    arms: dict[str, ArmSummary]
    kinds: dict[str, Kind]
    n_prompts: int
    images_per_prompt: int
    n_images: int
    seeds: list[int]
    settings: Settings
    protocol: Protocol
    evaluation_digest: str
    note: str
    provenance: Provenance
    preferences: list[Preference] = Field(default_factory=list)

    @property
    def budgets(self) -> list[int]:
        """The student's few-step budgets, ascending, without the teacher's full schedule."""
        return sorted(int(key) for key in self.nfe if int(key) != self.settings.teacher_steps)

    def comparison(self, budget: int, metric: str) -> Comparison:
        """The comparison of one metric at one budget, wherever it is kept."""
        return (self.nfe[str(budget)] | self.quality[str(budget)])[metric]

    def of_kind(self, *kinds: Kind) -> list[str]:
        """Names of the metrics of these kinds."""
        return [name for name, kind in self.kinds.items() if kind in kinds]


def build_scorecard(scores: Scores, settings: Settings, provenance: Provenance) -> Scorecard:
    """Compare the arms of ``scores`` at every student budget and at the teacher's full schedule."""
    keys = [*sorted(set(settings.student_steps) - {settings.teacher_steps}), settings.teacher_steps]
    rewards = scores.of_kind("trained", "heldout")
    quality = scores.of_kind("verifier", "realism", "diversity", "guard")
    return Scorecard(
        nfe={str(key): _compare_all(scores, rewards, key, settings) for key in keys},
        quality={str(key): _compare_all(scores, quality, key, settings) for key in keys},
        categories=compare_categories(scores, samples=settings.bootstrap_samples, seed=settings.bootstrap_seed),
        arms=_summarise(scores, settings),
        kinds=scores.kinds,
        n_prompts=len(scores.prompts),
        images_per_prompt=scores.images_per_prompt,
        n_images=len(scores.seeds),
        seeds=scores.seeds,
        settings=settings,
        protocol=scores.protocol,
        evaluation_digest=scores.protocol.digest,
        note=NOTE,
        provenance=provenance,
    )


def read_settings(recipe: Recipe, resolution: int) -> Settings:
    """The settings of a recipe that shape its scorecard."""
    return Settings(
        student_steps=sorted(recipe.student.steps),
        terminal_sigma=recipe.student.terminal_sigma,
        teacher_steps=recipe.teacher.steps,
        guidance_scale=recipe.teacher.guidance_scale,
        bootstrap_samples=recipe.evaluation.bootstrap_samples,
        bootstrap_seed=recipe.seed,
        resolution=resolution,
    )


def _compare_all(scores: Scores, metrics: Sequence[str], budget: int, settings: Settings) -> dict[str, Comparison]:
    return {metric: _compare(scores, metric, budget, settings) for metric in metrics}


def _compare(scores: Scores, metric: str, budget: int, settings: Settings) -> Comparison:
    def mean(arm: str) -> float:
        return float(scores.values(arm, metric).mean())

    def gap(arm: str) -> tuple[float, Interval]:
        ours, theirs = scores.values(student_arm(budget), metric), scores.values(arm, metric)
        found = paired_bootstrap(
            ours, theirs, scores.clusters(metric), samples=settings.bootstrap_samples, seed=settings.bootstrap_seed
        )
        return found.value, (found.low, found.high)

    same, full, unguided = teacher_arm(budget), teacher_arm(settings.teacher_steps), unguided_arm(budget)
    gap_same, ci95 = gap(same)
    gap_50, ci95_50 = gap(full)
    gap_unguided, ci95_unguided = gap(unguided) if unguided in scores.arms else (None, None)
    return Comparison(
        kind=scores.kinds[metric],
        student=mean(student_arm(budget)),
        teacher_50=mean(full),
        teacher_same_nfe=mean(same),
        teacher_unguided=mean(unguided) if unguided in scores.arms else None,
        gap=gap_same,
        ci95=ci95,
        gap_50=gap_50,
        ci95_50=ci95_50,
        gap_unguided=gap_unguided,
        ci95_unguided=ci95_unguided,
    )


def _summarise(scores: Scores, settings: Settings) -> dict[str, ArmSummary]:
    full = scores.arms[teacher_arm(settings.teacher_steps)]
    return {
        name: ArmSummary(
            role=arm.role,
            steps=arm.steps,
            guidance_scale=arm.guidance_scale,
            evaluations=arm.evaluations,
            evaluations_ratio=arm.evaluations / full.evaluations,
            seconds_per_image=arm.seconds_per_image,
            seconds_ratio=arm.seconds_per_image / full.seconds_per_image,
            means={metric: _mean(scores, name, metric, settings) for metric in scores.kinds},
            distance=arm.distance,
        )
        for name, arm in scores.arms.items()
    }


def _mean(scores: Scores, arm: str, metric: str, settings: Settings) -> Mean:
    found = bootstrap_mean(
        scores.values(arm, metric),
        scores.clusters(metric),
        samples=settings.bootstrap_samples,
        seed=settings.bootstrap_seed,
    )
    return Mean(mean=found.value, ci95=(found.low, found.high))
