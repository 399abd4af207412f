"""What a run would do, before it does it: the resolved recipe, the steps, what is reused, and the forecast."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Group, RenderableType
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from components.shared.keys import LATENTS, step_keys
from components.shared.step import is_done
from components.shared.workspace import step_dir
from pipelines.forecast.estimate import forecast
from pipelines.forecast.reward_table import rewards_view
from pipelines.view import clock
from rats_train.config import Recipe, dump_recipe, recipe_digest
from rats_train.trajectories.shards import deal_shards, note_file, read_span, shard_file

# Characters of a content key that tell keys apart by eye.
SHOWN = 8
# The arrows of the pipeline, for people; the pipeline object itself is pipelines/train_and_deploy.py.
FEEDS = {
    "prepare": "",
    "generate_trajectories": "prepare",
    "train_student": "generate_trajectories",
    "evaluate_rewards": "train_student",
    "promotion_gate": "evaluate_rewards",
    "package_student": "promotion_gate, if it promotes",
    "smoke_test": "package_student",
    "promote_student": "smoke_test",
    "report": "all",
    "report_end": "all, however they end",
}


def plan(recipe: Recipe, workspace: Path) -> RenderableType:
    """The plan of a recipe in a workspace.

    Raises:
        UserError: the recipe names something that is not there.
    """
    keys = step_keys(recipe)
    (all_shards,) = deal_shards(recipe, 1)
    folders = keys | {"generate_trajectories": f"{keys['generate_trajectories']}-{all_shards}"}
    ahead = forecast(recipe)
    drawn = recipe.stored_rollouts > 0 and _all_drawn(step_dir(LATENTS, keys[LATENTS], workspace), all_shards)
    seconds = {**ahead.seconds, **({"generate_trajectories": ahead.scoring_seconds} if drawn else {})}
    table = Table("step", "after", "content key", "work", box=None)
    table.columns[0].no_wrap = True
    for step, before in FEEDS.items():
        key = keys.get(step, "")
        done = step in keys and is_done(step, folders[step], workspace)
        work = Text("unchanged, will be reused", "green") if done else Text(_work(seconds.get(step)))
        if drawn and not done and step == "generate_trajectories":
            work.append(", to score what is drawn", "green")
        table.add_row(step, before, key[:SHOWN], work)
    total = sum(each for step, each in seconds.items() if not is_done(step, folders[step], workspace))
    return Group(
        Text(f"Recipe {recipe.name}, digest {recipe_digest(recipe)}", "bold"),
        Syntax(dump_recipe(recipe), "yaml", background_color="default"),
        table,
        Text("\nRewards, as their kinds declare them:"),
        rewards_view(recipe),
        Text(f"\nForecast: {clock(total)} of drawing and training on this machine, within a factor of two;"),
        Text(f"{ahead.seconds_a_step:.2f} s of it for each training step, which needs on each rank:"),
        _memory_table(ahead.memory),
    )


def _all_drawn(folder: Path, span: str) -> bool:
    """Whether the teacher drew every shard before, for whatever rewards."""
    return all((folder / note_file(shard_file(shard))).is_file() for shard in read_span(span))


def _memory_table(parts: Mapping[str, int]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, size in [*parts.items(), ("in all", sum(parts.values()))]:
        table.add_row(name, f"{size / 2**30:.1f} GiB")
    return table


def _work(seconds: float | None) -> str:
    return "seconds" if seconds is None else f"about {clock(seconds)}"
