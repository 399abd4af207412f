"""A reward model becomes a version in the registry: its files kept, loaded once for proof, and its scale measured."""

import difflib
from pathlib import Path

from components.shared.reward_files import keep
from components.shared.reward_registry import RewardRegistry, RewardVersion
from components.shared.tracker import tracker
from rats_train.errors import UserError
from rats_train.recipe_rewards import RewardSpec
from rats_train.rewards.build import FROM_FOLDER, load_reward
from rats_train.rewards.folder import REGISTERED, registered_folder, spec_folder
from rats_train.rewards.statistics import EMBEDDED, labelled_pictures, measure, pictures_digest


def register_reward(
    name: str, path: str, *, kind: str, licence: str, pictures: str, root: Path
) -> tuple[RewardVersion, bool]:
    """Register the reward model at ``path`` as the next version of ``name``.

    Args:
        name: of the registered model.
        path: a folder, hub id or embedded reward.
        kind: how its folder is read.
        licence: of its weights.
        pictures: ``embedded``, or a folder with metadata.jsonl, which its statistics are measured on.
        root: workspace of the tracker where the environment names none.

    Returns:
        The version, and whether it is new; the same bytes are registered once.

    Raises:
        UserError: the name cannot be one, there is no reward of that kind at ``path``, its scale cannot be measured, or
            the same bytes are registered with another kind, licence or set of pictures.
        RetryableError: the tracker did not answer.
    """
    known = _kind(kind)
    if not REGISTERED.fullmatch(f"{name}@1"):
        raise UserError(f'"{name}" cannot name a reward: take letters, digits, dots, hyphens and underscores.')
    if not licence.strip():
        raise UserError(f"{name} needs a licence, such as Apache-2.0: whoever trains on it must know what they may do.")
    digest = keep(spec_folder(RewardSpec(name=name, kind=known, path=path)))
    measured_on = EMBEDDED if pictures == EMBEDDED else pictures_digest(labelled_pictures(pictures))
    with tracker(root) as client:
        registry = RewardRegistry(client, root)
        same = next((version for version in registry.versions(name) if version.digest == digest), None)
        if same:
            _check_same(same, {"kind": known, "licence": licence, "measured_on": measured_on})
            return same, False
        kept = RewardSpec(name=name, kind=known, path=str(registered_folder(digest)), digest=digest)
        made = registry.add(
            name,
            registered_folder(digest),
            kind=known,
            digest=digest,
            licence=licence,
            statistics=measure(load_reward(kept), labelled_pictures(pictures)),
            measured_on=measured_on,
        )
    return made, True


def _kind(kind: str) -> str:
    """The kind of that name, if its weights lie in a folder."""
    for known in FROM_FOLDER:
        if known == kind:
            return known
    near = difflib.get_close_matches(kind, FROM_FOLDER, n=1)
    hint = f"did you mean {near[0]}?" if near else f"it is one of {', '.join(FROM_FOLDER)}."
    raise UserError(f"There is no kind {kind} of reward models in folders; {hint}")


def _check_same(version: RewardVersion, said: dict[str, str]) -> None:
    for key, value in said.items():
        if getattr(version, key) != value:
            raise UserError(
                f"These very bytes are {version.path}, registered with {key.replace('_', ' ')} "
                f"{getattr(version, key)}, not {value}: a version is frozen; say the same, or register under another "
                "name."
            )
