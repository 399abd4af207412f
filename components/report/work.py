"""The work of this step, as a function of paths."""

import json
from pathlib import Path

from components.shared.summary import write_summary
from components.shared.workspace import run_dir
from rats_train.config import load_recipe
from rats_train.files import read_json, write_json


def write_page(recipe_path: Path, log: Path, evaluation: Path, promotion: Path, served: str, folder: Path) -> None:
    """Write ``folder/report.html``, and a summary that says what it concludes."""
    from rats_train.evaluation.report import write_report
    from rats_train.evaluation.verdict import Verdict

    verdict = Verdict.read(promotion / "verdict.json")
    write_report(
        folder / "report.html",
        evaluation=evaluation,
        verdict=verdict,
        gallery_count=load_recipe(str(recipe_path)).evaluation.gallery_count,
        training=log,
        run=_steps_so_far(folder / "steps.json"),
        served=json.loads(served) or None,
    )
    reasons = "\n".join(f"* {reason.text}" for reason in verdict.failures)
    write_summary(folder, f"# report: {verdict.decision}\n\n{reasons}")


def _steps_so_far(path: Path) -> Path | None:
    """The steps of this run with the seconds that their work took, whenever that was; None outside a local run."""
    run = run_dir()
    if run is None:
        return None
    records = sorted((read_json(file) for file in (run / "steps").glob("*.json")), key=lambda record: record["began"])
    done = [record for record in records if record["status"] == "succeeded"]
    steps = [
        {
            "name": record["name"],
            "status": record["status"],
            "cached": False,
            "seconds": record.get("work_seconds", record["seconds"]),
        }
        for record in done
    ]
    write_json(path, {"steps": steps})
    return path
