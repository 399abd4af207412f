"""The pipelines as YAML: what the KFP backend takes, compiled from the objects that run locally."""

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
    from kfp import compiler

    out.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiler.Compiler().compile(load_pipeline(name), str(out))
    check_pipeline(next(yaml.safe_load_all(out.read_text())))
    return out


def load_pipeline(name: str) -> Any:
    """The pipeline object of a name in `PIPELINES`."""
    return getattr(import_module(f"pipelines.{name}"), name)
