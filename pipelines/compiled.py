"""The pipelines as YAML: what the KFP backend takes, compiled from the objects that run locally."""

import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

PIPELINES = ("train_and_deploy", "retrain_on_new_reward")


def compile_pipeline(out: Path, name: str = "train_and_deploy") -> Path:
    """Compile the pipeline ``name`` of `PIPELINES` to ``out``."""
    from kfp import compiler

    out.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiler.Compiler().compile(load_pipeline(name), str(out))
    return out


def load_pipeline(name: str) -> Any:
    """The pipeline object of a name in `PIPELINES`."""
    return getattr(import_module(f"pipelines.{name}"), name)
