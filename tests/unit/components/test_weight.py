"""An unchanged run imports no model library: importing one takes longer than all that such a run has to do."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from components.shared.code import ROOT

MODEL_LIBRARIES = ("torch", "diffusers", "transformers", "deepspeed")
HEAVY = (*MODEL_LIBRARIES, "mlflow", "pandas", "scipy", "matplotlib")
# Its work is to ask MLflow, in every run.
ASKS_MLFLOW = "report_end"
STEPS = sorted(path.parent.name for path in (ROOT / "components").glob("*/component.py"))

PREPARED = """
from components.prepare.resolve import resolve
from components.shared.keys import step_keys
from rats_train.config import load_recipe
from rats_train.trajectories.shards import deal_shards

recipe = resolve(load_recipe("emoji"))
step_keys(recipe), deal_shards(recipe, 2)
"""


def imported(program: str, *libraries: str) -> set[str]:
    """Which of the libraries a program of its own process imports."""
    report = f"{program}\nimport sys\nprint(*(name for name in {libraries!r} if name in sys.modules))"
    ended = subprocess.run([sys.executable, "-c", report], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return set(ended.stdout.splitlines()[-1].split())


def imports_of_reuse(step: str) -> str:
    """What a component imports before it does its work, which is a function inside it."""
    (function,) = (
        node
        for node in ast.parse(Path(str(import_module(f"components.{step}.component").__file__)).read_text()).body
        if isinstance(node, ast.FunctionDef)
    )
    return "\n".join(ast.unparse(node) for part in function.body for node in _imports(part))


def _imports(part: ast.stmt) -> list[ast.stmt]:
    if isinstance(part, ast.FunctionDef):
        return []
    return [node for node in ast.walk(part) if isinstance(node, (ast.Import, ast.ImportFrom))]


def test_steps_that_are_reused_import_nothing_heavy():
    programs = {step: imports_of_reuse(step) for step in STEPS}
    assert all("from components.shared.step import" in program for program in programs.values())
    asking = programs.pop(ASKS_MLFLOW)
    assert imported("\n".join(programs.values()), *HEAVY) == set()
    assert imported(asking, *MODEL_LIBRARIES) == set()


@pytest.mark.parametrize(
    ("program", "libraries"),
    [
        (PREPARED, HEAVY),
        ("import pipelines.cli, pipelines.local, pipelines.runs, pipelines.view", (*HEAVY, "kfp")),
        ("import rats_train.evaluation.verdict, rats_train.evaluation.scorecard", HEAVY),
        ("import components.promotion_gate.standing, components.promotion_gate.judgement", MODEL_LIBRARIES),
        ("import components.shared.students, components.promote_student.work", MODEL_LIBRARIES),
    ],
    ids=["keys of a recipe", "command line", "verdict", "gate", "promotion"],
)
def test_what_an_unchanged_run_asks_needs_no_model(program, libraries):
    assert imported(program, *libraries) == set()


def test_a_process_ends_without_looking_for_garbage():
    program = """
import atexit, gc
from components.shared.process import spare_collector
atexit.register(lambda: print(gc.get_freeze_count() > 1000))
spare_collector()
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout == "True\n"
