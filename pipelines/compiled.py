"""The pipeline as YAML: what the KFP backend takes, compiled from the object that runs locally."""

import warnings
from pathlib import Path


def compile_pipeline(out: Path) -> Path:
    """Compile the pipeline to ``out``."""
    from kfp import compiler

    from pipelines.train_and_deploy import train_and_deploy

    out.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiler.Compiler().compile(train_and_deploy, str(out))
    return out
