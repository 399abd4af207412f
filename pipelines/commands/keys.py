"""`rats keys`: who may use an endpoint."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(help="API keys of an endpoint: `rats serve` asks for one if it finds any.", no_args_is_help=True)

console = Console()

Name = Annotated[str, typer.Argument(help="What logs call its holder.")]


@app.command(epilog="Example: [bold]rats keys add ann --images-per-minute 120[/bold]")
def add(
    name: Name,
    images_per_minute: Annotated[int, typer.Option(help="Pictures that it may ask for in a minute.", min=1)] = 60,
    images_at_once: Annotated[int, typer.Option(help="Pictures that it may have in the making.", min=1)] = 10,
) -> None:
    """Make a key and show it, this once: only its hash is kept."""
    from serving.gateway.auth import ApiKeys, api_key_file

    print(ApiKeys(api_key_file()).add(name, images_per_minute, images_at_once))  # noqa: T201 (to be piped)


@app.command("list", epilog="Example: [bold]rats keys list[/bold]")
def list_keys() -> None:
    """Show every key's name and limits."""
    from serving.gateway.auth import ApiKeys, api_key_file

    table = Table("Name", "Made", "Pictures a minute", "Pictures at once")
    for key in ApiKeys(api_key_file()).all():
        table.add_row(key.name, key.created, str(key.images_per_minute), str(key.images_at_once))
    console.print(table)


@app.command(epilog="Example: [bold]rats keys revoke ann[/bold]")
def revoke(name: Name) -> None:
    """Let a key in no more; a running endpoint knows at once."""
    from serving.gateway.auth import ApiKeys, api_key_file

    ApiKeys(api_key_file()).revoke(name)
    console.print(f"{name} is let in no more.")
