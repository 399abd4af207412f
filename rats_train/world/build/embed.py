"""Put finished builds where the package carries them, with the digests that ``rats doctor`` compares.

Run: ``python -m rats_train.world.build.embed FOLDER``, after ``rats world build --out FOLDER``.
"""

import shutil
import sys
from pathlib import Path
from typing import Final

from rats_train.files import sha256_tree, write_json

CHECKPOINTS: Final = Path(__file__).parents[1] / "checkpoints"
MODELS: Final = ("reward_a", "reward_b", "teacher")


def embed(built: Path, out: Path = CHECKPOINTS) -> None:
    """Replace ``out/<model>`` by ``built/<model>`` for each model that is there, then write ``out/digests.json``."""
    for model in MODELS:
        if (built / model).is_dir():
            shutil.rmtree(out / model, ignore_errors=True)
            shutil.copytree(built / model, out / model)
    write_json(out / "digests.json", {model: sha256_tree(out / model) for model in MODELS})


if __name__ == "__main__":
    embed(Path(sys.argv[1]))
