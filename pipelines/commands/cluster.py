"""`rats cluster`: the cluster that pipelines run on."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rats_train.errors import UserError

cluster = typer.Typer(help="The Kubeflow cluster that pipelines run on.", no_args_is_help=True)

console = Console()


@cluster.command(epilog="Example: [bold]rats cluster check --namespace rats[/bold]")
def check(
    namespace: Annotated[str, typer.Option(help="Namespace that the pipelines run in.")] = "kubeflow",
    context: Annotated[str | None, typer.Option(help="Context of your kubeconfig, if not the current.")] = None,
) -> None:
    """Look at everything that RATS needs of a cluster, and name the cure for what is missing; changes nothing."""
    from kubernetes import client, config

    from pipelines.cluster.check import check_cluster
    from pipelines.doctor.findings import findings_table

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


@cluster.command(epilog="Example: [bold]rats cluster pipelines gitops/pipelines --namespace kubeflow[/bold]")
def pipelines(
    folder: Annotated[Path, typer.Argument(help="Folder to write, made if missing; a GitOps tool applies it.")],
    namespace: Annotated[str | None, typer.Option(help="Namespace of the resources, where not the tool's own.")] = None,
) -> None:
    """Write all pipelines as resources of Kubernetes, for a KFP that keeps its pipelines there."""
    from pipelines.compiled import write_resources

    for file in write_resources(folder, namespace):
        console.print(f"Wrote {file}.", soft_wrap=True)


@cluster.command(epilog="Example: [bold]rats cluster keys[/bold], into the folder that `RATS_KEYS` names")
def keys() -> None:
    """Make the keys that packages and pictures are signed with, where there are none, for the cluster's secrets."""
    from serving.gateway.provenance import Signer
    from serving.keys import key_folder, signing_keys

    signing_keys()
    Signer()
    console.print(f"The keys are in {key_folder()}: docs/production.md tells which secret holds which.", soft_wrap=True)
