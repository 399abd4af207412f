"""The training methods' keys in a recipe: one section a method, told apart by ``name``.

A method from elsewhere brings its own section: an installed package that names its class under the entry point
``rats_train.methods`` can be switched to like any other (docs/extending.md).
"""

import inspect
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Protocol, cast

from pydantic import Field, PlainValidator, SerializeAsAny

from rats_train.recipe_section import Count, Positive, Section, Share, Weight

ENTRY_POINT: Final = "rats_train.methods"

Horizons = Literal["all", "later", "final"]


class MethodSettings(Section):
    """The keys of one training method.

    ``needs_gradient`` says that the method goes back through every reward; ``follows_student``, that it can learn from
    a teacher that follows its student (``teacher.source: ema``).
    """

    needs_gradient: ClassVar[bool] = False
    follows_student: ClassVar[bool] = False

    name: str


class RatsMethod(MethodSettings):
    """RATS: loss = reward + ``alpha`` * gate * shaping, the gate of temperature ``tau`` (in units of the reward).

    ``gate: hard`` follows the teacher wholly where it is better and nowhere else; ``tau`` then plays no part.
    ``horizons: final`` matches the results alone, ``all`` each student step besides, ``later`` each but the first,
    where all that either side sees is noise. ``backprop_steps`` lets the reward's gradient through the last k student
    steps only; null lets it through all.
    """

    needs_gradient: ClassVar[bool] = True
    follows_student: ClassVar[bool] = True

    name: Literal["rats"] = "rats"
    alpha: Weight = 1.0
    tau: Positive = 0.05
    gate: Literal["soft", "hard"] = "soft"
    horizons: Horizons = "all"
    cosine_weight: Weight = 1.0
    l2_weight: Weight = 1.0
    backprop_steps: Count | None = None


class DistillMethod(MethodSettings):
    """Rigid imitation of the teacher: the shaping of RATS with its gate open at all times, and no reward."""

    follows_student: ClassVar[bool] = True

    name: Literal["distill"] = "distill"
    horizons: Horizons = "all"
    cosine_weight: Weight = 1.0
    l2_weight: Weight = 1.0


class RewardOnlyMethod(MethodSettings):
    """The reward alone, straight through the last ``backprop_steps`` student steps (null: all); no teacher."""

    needs_gradient: ClassVar[bool] = True

    name: Literal["reward_only"] = "reward_only"
    backprop_steps: Count | None = None


class PolicySettings(MethodSettings):
    """A policy gradient on the random steps of ``group_size`` chains a prompt.

    A training step draws ``training.batch_size`` groups. ``transition`` and ``eta`` say how a step is made random;
    ``clip_range`` bounds the ratio of new to old policy, which one update a draw leaves at 1; ``kl_weight`` holds the
    student near the weights it began with.
    """

    group_size: Annotated[int, Field(ge=2)] = 8
    transition: Literal["cps", "sde"] = "cps"
    eta: Annotated[float, Field(gt=0, le=1)] = 0.7
    clip_range: Positive = 1e-4
    kl_weight: Weight = 0.0


class GrpoMethod(PolicySettings):
    """Flow-GRPO: the policy gradient alone; rewards need not be differentiable, and there is no teacher."""

    name: Literal["grpo"] = "grpo"


class RatsGrpoMethod(PolicySettings):
    """RATS with a policy gradient for its reward term: loss = grpo + ``alpha`` * gate * shaping."""

    follows_student: ClassVar[bool] = True

    name: Literal["rats_grpo"] = "rats_grpo"
    alpha: Weight = 1.0
    tau: Positive = 0.05
    gate: Literal["soft", "hard"] = "soft"
    horizons: Horizons = "all"
    cosine_weight: Weight = 1.0
    l2_weight: Weight = 1.0


class Credit(Section):
    """How OTCA spreads an advantage.

    ``steps`` says how the random steps of a chain share in it. ``likeness``: by how much nearer each came to its
    result, where ``floor`` (a cosine) is what a step is given that gained nothing. ``halves``: the first half of them
    is judged by the picture that the student expects in the middle of the chain, the second by the result, and each
    weighs as the change of velocity that its noise was.
    ``objectives`` compares each reward within its group and fuses them by the least-norm combination, mixed with the
    rewards' own weights in proportion ``exploration``. Either may be off (``none``, ``false``).
    """

    steps: Literal["likeness", "halves", "none"] = "likeness"
    objectives: bool = True
    floor: Positive = 0.01
    exploration: Share = 0.2


class OtcaMethod(PolicySettings):
    """OTCA: the policy gradient of grpo with ``credit`` for steps and rewards; it is meant for several rewards."""

    name: Literal["otca"] = "otca"
    credit: Credit = Credit()


class RtdmdMethod(PolicySettings):
    """RTDMD: the student's distribution is matched to the teacher's, then to the teacher's tilted by the reward.

    For the first ``cold_start`` of the steps (a share; 1: all) the distribution alone is matched (AC-DMD), and the
    student learns in every ``fake_updates``-th step. Then it learns in each, from the sum of a policy gradient on
    ``learned_steps`` of a chain's random steps (null: all), the last step's distribution times ``matching_weight``, and
    its reward by back-propagation times ``reward_weight``. Either stage has a warm-up and a fall of its own; the peak
    of the second is ``tilt_rate`` times the learning rate.

    The fake score learns in every step, at ``fake_rate`` times the stage's rate, with its consistency weighed by
    ``consistency_weight``; 0 leaves it out, and two of its three evaluations. ``gate`` lets each sample follow the
    distribution as far as RATS would let it follow its teacher, at temperature ``tau``; ``credit`` spreads the policy
    gradient's advantages as OTCA does.
    """

    name: Literal["rtdmd"] = "rtdmd"
    cold_start: Share = 0.5
    fake_updates: Count = 5
    fake_rate: Positive = 1.0
    tilt_rate: Positive = 0.3
    consistency_weight: Weight = 0.01
    learned_steps: Count | None = 2
    matching_weight: Weight = 1.0
    reward_weight: Weight = 1.0
    gate: Literal["none", "soft", "hard"] = "none"
    tau: Positive = 0.05
    credit: Credit | None = None


BUILT_IN: Final[dict[str, type[MethodSettings]]] = {
    str(section.model_fields["name"].default): section
    for section in (RatsMethod, DistillMethod, RewardOnlyMethod, GrpoMethod, RatsGrpoMethod, OtcaMethod, RtdmdMethod)
}
"""The sections of the methods that come with the package, by name."""


class MethodClass(Protocol):
    """What an entry point names: the class of a method, which knows its section and is built like those of ours."""

    Settings: type[MethodSettings]

    def __call__(self, recipe: Any, settings: Any) -> Any:
        """The `rats_train.methods.base.Method` of this recipe."""
        ...


@cache
def plugged_method(name: str) -> MethodClass | None:
    """The class of the method that an installed package brings under ``name``; None where none does."""
    found = [point for point in entry_points(group=ENTRY_POINT) if point.name == name]
    return cast(MethodClass, found[0].load()) if found else None


def plugged_source(method: MethodSettings) -> Path | None:
    """The file of a method that an installed package brings; None for those that come with this one."""
    plugged = None if method.name in BUILT_IN else plugged_method(method.name)
    return None if plugged is None else Path(inspect.getfile(cast(type, plugged)))


def method_section(name: str) -> type[MethodSettings]:
    """The section of the method ``name``.

    Raises:
        ValueError: there is no such method.
    """
    plugged = None if name in BUILT_IN else plugged_method(name)
    if name not in BUILT_IN and plugged is None:
        known = [*BUILT_IN, *sorted(point.name for point in entry_points(group=ENTRY_POINT))]
        raise ValueError(f"method.name is {name!r}; it must be one of {', '.join(known)}")
    return BUILT_IN[name] if plugged is None else plugged.Settings


def read_method(values: Any) -> MethodSettings:
    """The section that ``values`` name; a section that names no method holds the keys of the default one."""
    if isinstance(values, MethodSettings) or not isinstance(values, dict):
        return MethodSettings.model_validate(values)
    named = {"name": RatsMethod().name, **values}
    return method_section(str(named["name"])).model_validate(named)


Method = Annotated[SerializeAsAny[MethodSettings], PlainValidator(read_method)]
"""The settings of one training method: ``name`` says whose keys the section has."""
