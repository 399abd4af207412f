"""`rats reward ...`: what concerns one reward model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from rats_train.rewards.remote.wire import Description

reward = typer.Typer(
    help="One reward model: serve it, or make its folder from a released checkpoint.", no_args_is_help=True
)

console = Console()


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
            f"{served.digest[:12]}. In a recipe:\n",
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
