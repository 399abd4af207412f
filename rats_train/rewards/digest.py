"""What a reward's scores depend on beside the pictures, as one digest."""

import hashlib
from pathlib import Path

from rats_train import world
from rats_train.files import sha256_file, sha256_tree
from rats_train.recipe_rewards import FOLDER_KINDS, PACKAGED_KINDS, RewardSpec
from rats_train.rewards.extras import extra_version
from rats_train.rewards.folder import folder_digest


def reward_digest(spec: RewardSpec) -> str:
    """Hex SHA-256 over the kind, the files or the package behind it, and the statistics; weight and name stay out.

    A remote reward has the digest that its server declares, so that it is the same reward here and there.

    Raises:
        UserError: the folder that ``spec`` names is missing, or is not the one that its digest means.
        RewardAwayError: the server of a remote one does not answer.
    """
    content = _content(spec)
    if spec.kind in ("clip", "remote") and not spec.statistics:
        return content  # clip: known by this digest before there were other kinds
    scale = f"{spec.statistics.mean} {spec.statistics.std}" if spec.statistics else ""
    return hashlib.sha256(f"{spec.kind}\n{content}\n{scale}".encode()).hexdigest()


def _content(spec: RewardSpec) -> str:
    if spec.kind in ("verifier", "likeness"):
        home = Path(world.__path__[0])
        code = "".join(sha256_file(file) for file in sorted(home.glob("*.py")))
        return code + sha256_tree(home / "art")
    if spec.kind in PACKAGED_KINDS:
        return extra_version(spec.kind, spec.name)
    if spec.kind in FOLDER_KINDS:
        return folder_digest(spec)
    return _content_elsewhere(spec)


def _content_elsewhere(spec: RewardSpec) -> str:
    """What its server declares, or the source of its class and the folder that it is made from."""
    # Both bring torch, seconds to import, and whoever names folders needs neither.
    from rats_train.rewards.plugged import plugged_source
    from rats_train.rewards.remote.client import RewardClient

    if spec.kind == "remote" and spec.path is not None:
        return RewardClient(spec.path, spec.name).describe().digest
    return sha256_file(plugged_source(spec.kind)) + (folder_digest(spec) if spec.path else "")
