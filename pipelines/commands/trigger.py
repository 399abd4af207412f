"""`rats trigger`: the service that starts a retraining for each new version of a reward model."""

import os
from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.schedule import Host, Namespace
from rats_train.errors import UserError

trigger = typer.Typer(help="Retraining by itself, when a reward model has a new version.", no_args_is_help=True)


@trigger.callback()
def group() -> None:
    """With this, one command alone stays `rats trigger serve`."""


@trigger.command(epilog="Example: [bold]rats trigger serve trigger.yaml --state trigger.db[/bold]")
def serve(
    file: Annotated[Path, typer.Argument(help="YAML file that says which reward retrains which recipe.")],
    state: Annotated[Path, typer.Option(help="File that remembers what was started; keep it on a lasting disk.")],
    kfp: Host = None,
    namespace: Namespace = None,
    host: Annotated[str, typer.Option("--listen", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8090,
) -> None:
    """Listen to MLflow's webhooks and look at its registry, until Ctrl-C; `RATS_WEBHOOK_SECRET` holds the secret."""
    import logging
    import tempfile

    import uvicorn
    from mlflow import MlflowClient

    from pipelines.cluster.kfp_server import PipelinesServer
    from pipelines.compiled import compile_pipeline
    from pipelines.trigger.ledger import Ledger
    from pipelines.trigger.registry import reward_versions
    from pipelines.trigger.service import Watcher, make_app
    from pipelines.trigger.settings import SECRET_VARIABLE, SHORTEST_SECRET, read_settings

    settings = read_settings(file)
    secret = os.environ.get(SECRET_VARIABLE, "")
    if len(secret) < SHORTEST_SECRET:
        raise UserError(
            f"{SECRET_VARIABLE} has {len(secret)} characters: set it to the secret of MLflow's webhook, "
            f"{SHORTEST_SECRET} or more."
        )
    if not (tracker := os.environ.get("MLFLOW_TRACKING_URI")):
        raise UserError("MLFLOW_TRACKING_URI is not set: it names the MLflow server whose registry is watched.")
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.WARNING)
    logging.getLogger("rats.trigger").setLevel(logging.INFO)
    client, ledger = MlflowClient(tracker), Ledger(state)
    with tempfile.TemporaryDirectory() as folder:
        package = compile_pipeline(Path(folder) / "retrain.yaml", "retrain_on_new_reward")
        server = PipelinesServer(kfp, settings.experiment, namespace)
        watcher = Watcher(settings, ledger, server, package, lambda name: reward_versions(client, name))
        uvicorn.run(make_app(settings, ledger, watcher, secret), host=host, port=port, log_level="warning")
