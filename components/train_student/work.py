"""The work of this step, as a function of paths."""

import json
import shutil
from pathlib import Path

from components.shared.page import write_page
from components.shared.process import limit_threads
from components.shared.summary import table, write_summary
from components.shared.workspace import publish
from rats_train.config import load_recipe
from rats_train.files import read_json

LOG = ("metrics.jsonl", "samples.jsonl", "result.json", "previews")


def train(recipe_path: Path, store: Path, folder: Path) -> None:
    """Train in ``folder``, carrying on from its last checkpoint where there is one."""
    from rats_train.engine.launch import launch
    from rats_train.evaluation.curves import curve_svgs, read_curve

    world_size = load_recipe(str(recipe_path)).training.world_size
    limit_threads(world_size)
    launch(recipe_path, store, folder, world_size)
    for name in LOG:
        publish(folder / name, folder / "log" / name)
    curve = read_curve(folder / "metrics.jsonl")
    write_page(folder / "curves.html", "How the student learned", list(curve_svgs(curve).values()))
    result = read_json(folder / "result.json")
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    shown = ("loss", "reward_student", "reward_teacher", "gap", "gate_mean", "grad_norm")
    numbers = {"final_loss": result["final_loss"], "steps": result["steps"]} | {
        name: last[name] for name in shown if name in last
    }
    title = f"# {result['steps']} steps, final loss {result['final_loss']:.4f}"
    write_summary(folder, f"{title}\n\n{table(['at the last step', ''], list(numbers.items()))}", numbers)
    # They were for resuming; this training is over, and they weigh more than all the rest.
    shutil.rmtree(folder / "checkpoints")
