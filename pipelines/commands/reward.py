"""`rats reward`: the reward models that recipes name."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from components.shared.reward_registry import RewardVersion
    from rats_train.rewards.remote.wire import Description

reward = typer.Typer(
    help="Reward models: register them, serve them, make their folders from released checkpoints.", no_args_is_help=True
)

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


@reward.command(
    epilog="Example: [bold]rats reward serve embedded:a[/bold], or "
    "[bold]rats reward serve '{kind: hpsv2, path: models/hpsv2.1}' --port 8100[/bold]"
)
def serve(
    spec: Annotated[
        str,
        typer.Argument(
            metavar="REWARD", help="A path, a kind that needs none, a spec as in a recipe, or a YAML file with one."
        ),
    ],
    host: Annotated[str, typer.Option(help="Address to listen on; it asks nobody who they are.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any free one.")] = 8100,
) -> None:
    """Serve a reward to trainings elsewhere, until Ctrl-C; recipes name it by its address."""
    from reward_server.server import read_spec, run_forever

    def on_ready(url: str, served: "Description") -> None:
        gradient = "with" if served.differentiable else "without"
        console.print(
            f"[green]Ready[/green] at {url}, until Ctrl-C: {served.kind}, {gradient} gradient, digest "
            f"{served.digest[:12]}; about {served.memory / 2**30:.2f} GiB for {served.batch_size} pictures at once. "
            "In a recipe:\n",
            soft_wrap=True,
        )
        line = f'  - {{name: {served.name}, path: "{url}"}}'
        console.print(escape(line), highlight=False, soft_wrap=True)

    run_forever(read_spec(spec), host=host, port=port, on_ready=on_ready)


@reward.command(
    epilog="Example: [bold]rats reward convert hpsv2 HPS_v2.1_compressed.pt models/hpsv2.1 "
    "--parts models/clip-vit-large-patch14[/bold]"
)
def convert(
    kind: Annotated[str, typer.Argument(help="hpsv2, image_reward or aesthetic.")],
    source: Annotated[Path, typer.Argument(metavar="SRC", help="The file that it was released as.")],
    out: Annotated[Path, typer.Argument(metavar="DST", help="Folder to make; recipes name it.")],
    parts: Annotated[
        Path,
        typer.Option(
            help="Folder of the public parts that it builds on: CLIP's tokenizer (hpsv2), that of bert-base-uncased "
            "(image_reward), or the whole of clip-vit-large-patch14 (aesthetic).",
            exists=True,
            file_okay=False,
        ),
    ],
) -> None:
    """Make a folder of safetensors, which recipes name, from a released checkpoint."""
    from rats_train.rewards.convert.kinds import convert as convert_kind

    convert_kind(kind, source, parts, out)
    console.print(
        f"Wrote {out}. In a recipe:\n\n{escape(f'  - {{name: {kind}, kind: {kind}, path: {out}}}')}",
        highlight=False,
        soft_wrap=True,
    )


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
