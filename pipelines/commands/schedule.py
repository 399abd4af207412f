"""`rats schedule`: recurring runs of a Kubeflow Pipelines server, from a file."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

schedule = typer.Typer(help="Recurring runs on a Kubeflow cluster, as code.", no_args_is_help=True)

console = Console()

Host = Annotated[
    str | None, typer.Option(envvar="KF_PIPELINES_ENDPOINT", help="Address of Kubeflow Pipelines; not needed inside.")
]
Namespace = Annotated[str | None, typer.Option(help="Namespace of a server for several users.")]


@schedule.callback()
def group() -> None:
    """With this, one command alone stays `rats schedule apply`."""


@schedule.command(epilog="Example: [bold]rats schedule apply schedules.yaml --host http://localhost:8888[/bold]")
def apply(
    file: Annotated[Path, typer.Argument(help="YAML file of schedules.")],
    host: Host = None,
    namespace: Namespace = None,
    experiment: Annotated[str, typer.Option(help="Experiment that the runs belong to.")] = "rats",
) -> None:
    """Bring the server to what the file says; where it is there already, nothing changes."""
    from pipelines.cluster.kfp_server import PipelinesServer
    from pipelines.cluster.schedules import apply_schedules, read_schedules

    schedules = read_schedules(file)
    changes = apply_schedules(schedules, PipelinesServer(host, experiment, namespace))
    for name, change in changes.items():
        console.print(f"{name}: {change}", highlight=False)
