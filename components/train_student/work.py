"""The work of this step, as a function of paths."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kfp.dsl import TaskConfig

from components.shared.page import write_page
from components.shared.process import in_cluster, limit_threads
from components.shared.summary import table, write_summary
from components.shared.workspace import publish
from rats_train.config import load_recipe
from rats_train.files import read_json

if TYPE_CHECKING:
    from rats_train.evaluation.learning import Learning

OUTAGES = "outages.jsonl"
LOG = ("metrics.jsonl", "samples.jsonl", "watch.jsonl", "alarms.jsonl", OUTAGES, "result.json", "previews")
SHOWN = 10


def train(recipe_path: Path, trajectories: Sequence[Path], folder: Path, nodes: int, config: TaskConfig) -> None:
    """Train in ``folder``, carrying on from its last checkpoint where there is one: here, or on a cluster.

    ``trajectories`` are folders that hold the shards between them.
    """
    from rats_train.evaluation.learning import read_learning
    from rats_train.trajectories.join import join

    store = join(load_recipe(str(recipe_path)), trajectories, folder / "store")
    _run(recipe_path, store, folder, nodes, config)
    for name in LOG:
        publish(folder / name, folder / "log" / name)
    learning = read_learning(folder)
    write_page(folder / "curves.html", "How the student learned", list(learning.svgs.values()))
    result = read_json(folder / "result.json")
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    shown = ("loss", "reward_student", "reward_teacher", "gap", "gate_mean", "grad_norm")
    numbers = {name: result[name] for name in ("final_loss", "steps", "exported_step")}
    numbers |= {name: last[name] for name in shown if name in last}
    title = f"# {result['steps']} steps, final loss {result['final_loss']:.4f}{_in_short(learning)}"
    last_step = table(["at the last step", ""], list(numbers.items()))
    parts = [title, last_step, *_waits(folder / OUTAGES), *_details(learning)]
    write_summary(folder, "\n\n".join(parts), numbers)
    # They were for this training, which is over, and they weigh more than all the rest.
    for name in ("checkpoints", "best", "inputs", "store"):
        shutil.rmtree(folder / name, ignore_errors=True)


def _run(recipe_path: Path, store: Path, folder: Path, nodes: int, config: TaskConfig) -> None:
    from components.shared.reward_files import fetch_rewards

    recipe = load_recipe(str(recipe_path))
    fetch_rewards(recipe)
    world_size = recipe.training.world_size
    if in_cluster():
        from components.train_student.launch_job import launch_job

        launch_job(recipe_path, store, folder, world_size=world_size, nodes=nodes, config=config)
    else:
        from rats_train.engine.launch import launch

        limit_threads(world_size)
        launch(recipe_path, store, folder, world_size)


def _in_short(learning: "Learning") -> str:
    """The alarms by name, for the title, which the terminal shows."""
    return "".join(f"; {alarm.name} at step {alarm.step}" for alarm in learning.alarms)


def _waits(outages: Path) -> list[str]:
    """How long the training stood still for reward servers, if it did."""
    waits = [json.loads(line) for line in outages.read_text().splitlines()]
    if not waits:
        return []
    rows = [(w["step"], f"{w['reward']} at {w['url']}", f"{w['seconds']:.0f}", w["ended"]) for w in waits]
    return ["It waited for reward servers:", table(["after step", "reward", "seconds", "until"], rows)]


def _details(learning: "Learning") -> list[str]:
    """Alarms in full, and the prompts on which the teacher still leads."""
    parts = [f"**{alarm.name}, step {alarm.step}.** {alarm.seen} {alarm.cure}" for alarm in learning.alarms]
    if learning.led:
        rows = [(row.prompt, row.gap, row.gate) for row in learning.led[:SHOWN]]
        parts.append(f"The teacher still leads on {len(learning.led)} of {learning.late} prompts, most on:")
        parts.append(table(["prompt", "gap", "gate"], rows))
    return parts
