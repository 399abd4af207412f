"""The pipelines as YAML: what the KFP backend takes, compiled from the objects that run locally."""

import hashlib
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from pipelines.preflight import check_pipeline
from rats_train.errors import UserError

PIPELINES = ("train_and_deploy", "evaluate_only", "retrain_on_new_reward")


def compile_pipeline(out: Path, name: str = "train_and_deploy") -> Path:
    """Compile the pipeline ``name`` of `PIPELINES` to ``out``.

    Raises:
        UserError: there is no such pipeline, or it holds something that would not run as written.
    """
    if name not in PIPELINES:
        raise UserError(f"There is no pipeline {name}; name one of {', '.join(PIPELINES)}.")
    out.parent.mkdir(parents=True, exist_ok=True)
    _compile(name, out)
    check_pipeline(next(yaml.safe_load_all(out.read_text())))
    return out


def write_resources(folder: Path, namespace: str | None = None) -> list[Path]:
    """Write every pipeline as custom resources, for a KFP that keeps its pipelines in Kubernetes, into ``folder``.

    Each file holds a Pipeline and its PipelineVersion, which is named after its content: KFP lets nobody change a
    version, so another content has to be another one, and the same content is the same bytes. A kustomization.yaml
    names the files.

    Raises:
        UserError: a pipeline holds something that would not run as written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [_write_resource(folder, name, namespace) for name in PIPELINES]
    head = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    kustomization = folder / "kustomization.yaml"
    kustomization.write_text(yaml.safe_dump(head | {"resources": [file.name for file in files]}, sort_keys=False))
    return [*files, kustomization]


def _write_resource(folder: Path, name: str, namespace: str | None) -> Path:
    from kfp.compiler.compiler_utils import KubernetesManifestOptions

    out = compile_pipeline(folder / f"{name}.yaml", name)
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    known = load_pipeline(name).pipeline_spec.pipeline_info
    options = KubernetesManifestOptions(
        pipeline_display_name=known.display_name,
        pipeline_version_name=f"{known.name}-{digest[:12]}",
        pipeline_version_display_name=digest[:12],
        namespace=namespace,
        include_pipeline_manifest=True,
    )
    _compile(name, out, kubernetes_manifest_format=True, kubernetes_manifest_options=options)
    return out


def _compile(name: str, out: Path, **options: Any) -> None:
    from kfp import compiler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiler.Compiler().compile(load_pipeline(name), str(out), **options)


def load_pipeline(name: str) -> Any:
    """The pipeline object of a name in `PIPELINES`."""
    return getattr(import_module(f"pipelines.{name}"), name)
