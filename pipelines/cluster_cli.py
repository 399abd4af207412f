"""`rats cluster`: the cluster that pipelines run on."""

from typing import Annotated

import typer
from rich.console import Console

from rats_train.errors import UserError

cluster = typer.Typer(help="The Kubeflow cluster that pipelines run on.", no_args_is_help=True)

console = Console()


@cluster.callback()
def group() -> None:
    """With this, one command alone stays `rats cluster check`."""


@cluster.command(epilog="Example: [bold]rats cluster check --namespace rats[/bold]")
def check(
    namespace: Annotated[str, typer.Option(help="Namespace that the pipelines run in.")] = "kubeflow",
    context: Annotated[str | None, typer.Option(help="Context of your kubeconfig, if not the current.")] = None,
) -> None:
    """Look at everything that RATS needs of a cluster, and name the cure for what is missing; changes nothing."""
    from kubernetes import client, config

    from pipelines.cluster_check import check_cluster
    from pipelines.doctor import findings_table

    try:
        config.load_kube_config(context=context)
    except config.ConfigException as error:
        raise UserError(
            f"No cluster to look at: {error}. Set KUBECONFIG, or log in with your cluster's tool."
        ) from error
    findings = check_cluster(client.ApiClient(), namespace)
    console.print(findings_table(findings))
    if any(finding.cure for finding in findings):
        raise typer.Exit(1)
    console.print("\nAll is well.")
