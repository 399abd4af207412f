"""`rats reward`: the reward models that recipes name."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from components.shared.reward_registry import RewardVersion

reward = typer.Typer(help="Reward models: register them, see which there are.", no_args_is_help=True)

console = Console()

Workspace = Annotated[Path, typer.Option(help="Folder of runs, and of the tracker unless MLFLOW_TRACKING_URI is set.")]
RUNS = Path("runs")
# Characters of a digest that tell versions apart by eye.
SHOWN = 8


@reward.command(epilog="Example: [bold]rats reward register hpsv2 models/hpsv2.1 --kind hpsv2 --licence MIT[/bold]")
def register(
    name: Annotated[str, typer.Argument(help="What recipes will call it: NAME@1, NAME@2, ...")],
    path: Annotated[str, typer.Argument(help="Folder or hub id of the reward model, or embedded:a.")],
    kind: Annotated[str, typer.Option(help="clip, hpsv2, pickscore, image_reward or aesthetic.")],
    licence: Annotated[str, typer.Option(help="Licence of its weights, such as Apache-2.0.")],
    statistics_from: Annotated[
        str, typer.Option(help="Folder of pictures with metadata.jsonl that its scale is measured on, or embedded.")
    ] = "embedded",
    workspace: Workspace = RUNS,
) -> None:
    """Make a reward model the next version of a registered one, frozen with its digest, licence and scale."""
    from pipelines.register_reward import register_reward

    with console.status("Reading the model and measuring its scale"):
        version, new = register_reward(
            name, path, kind=kind, licence=licence, pictures=statistics_from, root=workspace.resolve()
        )
    scale = version.statistics
    console.print(
        f"[green]{version.path}[/green] is {'registered' if new else 'these very bytes, registered already'}: kind "
        f"{version.kind}, mean {scale.mean:.4g}, std {scale.std:.4g}, SHA-256 {version.digest[:12]}....\n"
        f"A recipe names it so: [bold]path: {version.path}[/bold]",
        highlight=False,
        soft_wrap=True,
    )


@reward.command("list", epilog="Example: [bold]rats reward list[/bold]")
def list_(workspace: Workspace = RUNS) -> None:
    """Show every version of every registered reward."""
    from components.shared.reward_registry import RewardRegistry
    from components.shared.tracker import tracker

    root = workspace.resolve()
    with tracker(root) as client:
        registry = RewardRegistry(client, root)
        versions = [version for name in registry.names() for version in registry.versions(name)]
    if versions:
        console.print(_table(versions))
    else:
        console.print("No reward is registered: `rats reward register --help` shows how.")


def _table(versions: "list[RewardVersion]") -> Table:
    table = Table("reward", "kind", "licence", "mean ± std", "measured on", "SHA-256", "registered", box=None)
    for version in versions:
        scale, made = version.statistics, datetime.fromtimestamp(version.created / 1000).astimezone()
        table.add_row(
            Text(version.path, "bold").append("".join(f" {alias}" for alias in version.aliases), "not bold green"),
            version.kind,
            Text(version.licence),
            f"{scale.mean:.3g} ± {scale.std:.3g}",
            version.measured_on[:SHOWN],
            version.digest[:SHOWN],
            f"{made:%Y-%m-%d}",
        )
    return table
