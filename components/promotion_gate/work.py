"""The work of this step, as a function of paths."""

from pathlib import Path
from typing import TYPE_CHECKING

from components.shared.page import figure, write_page
from components.shared.process import limit_threads
from components.shared.step import Progress
from components.shared.summary import table, write_summary, write_tracked
from rats_train.config import Recipe, load_recipe
from rats_train.files import atomic_write_text, write_json

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from components.shared.students import Students
    from rats_train.evaluation.scores import Scores
    from rats_train.evaluation.verdict import Verdict


def decide(recipe_path: Path, evaluation: Path, student_key: str, folder: Path, progress: Progress) -> None:
    """Judge the evaluated student against the champion of the moment, and say so in MLflow.

    Writes ``folder/promotion``: ``verdict.json``, and ``judged.json`` with the versions that it is about.
    """
    limit_threads()
    from components.shared.students import Students
    from components.shared.tracker import tracker
    from rats_train.evaluation.scores import Scores

    recipe, challenger = load_recipe(str(recipe_path)), Scores.read(evaluation / "scores.json")
    with tracker() as client:
        students = Students(client, recipe.name)
        version = students.of_key(student_key)
        opponent = students.opponent(version)
        verdict = _judge(students, version, challenger, recipe, folder, progress)
        judged = {
            "model": students.model,
            "version": int(version.version),
            "opponent": opponent and int(opponent.version),
        }
        verdict.write(folder / "promotion" / "verdict.json")
        write_json(folder / "promotion" / "judged.json", judged)
        client.log_artifacts(version.run_id, str(folder / "promotion"), "promotion")
        students.judged(version, verdict.decision)
        write_tracked(folder, students.page(version))
    _tell(verdict, judged, evaluation, folder)


def _judge(
    students: "Students",
    version: "ModelVersion",
    challenger: "Scores",
    recipe: Recipe,
    folder: Path,
    progress: Progress,
) -> "Verdict":
    from components.promotion_gate.judgement import comparable_scores, judge_version, refused
    from rats_train.evaluation.protocol import NotComparableError

    def tell(done: int, total: int, arm: str) -> None:
        progress(done, total, arm=f"champion, {arm}")

    def find_scores(champion: "ModelVersion") -> "Scores":
        place = folder / "champion" / str(champion.version)
        return comparable_scores(students, champion, challenger, recipe, place, tell)

    if taken_back := students.rolled_back(version):
        text = f"this student was rolled back at {taken_back}; `rats promote` with its version brings it back"
        return refused(challenger, "rolled back", text)
    try:
        return judge_version(students, version, challenger, find_scores)
    except NotComparableError as error:
        return refused(challenger, "not comparable", str(error))


def _tell(verdict: "Verdict", judged: dict[str, str | int | None], evaluation: Path, folder: Path) -> None:
    """The token, the summary, the page and the numbers."""
    unmet = verdict.failures
    none = "the teacher at the same steps, for there is no champion yet"
    against = f"version {judged['opponent']}, the champion" if judged["opponent"] else none
    head = f"# {verdict.decision}, {len(verdict.reasons) - len(unmet)} of {len(verdict.reasons)} conditions met"
    met = [reason for reason in verdict.reasons if reason.state == "met"]
    rows = [[reason.state, reason.rule, reason.text] for reason in (*unmet, *met)]
    about = f"{judged['model']} version {judged['version']} against {against}."
    notes = "".join(f"\n\n{note}" for note in verdict.notes)
    states = [reason.state for reason in verdict.reasons]
    counts = {f"conditions_{state}": float(states.count(state)) for state in ("met", "failed", "open")}
    text = f"{head}\n\n{about}\n\n{table(['', 'rule', 'condition'], rows)}{notes}"
    write_summary(folder, text, {"promote": float(verdict.promoted), **counts})
    pictures = [figure(evaluation / "worst.png", "Where the student falls farthest behind its full teacher.")]
    write_page(folder / "verdict.html", f"{verdict.decision}: {about}", [_list(verdict), *pictures])
    atomic_write_text(folder / "verdict", verdict.decision.replace(" ", "_"))


def _list(verdict: "Verdict") -> str:
    from html import escape

    items = [f"<li><b>{reason.state}</b> {escape(reason.text)}</li>" for reason in verdict.reasons]
    return f"<ul>{''.join(items)}</ul>{''.join(f'<p>{escape(note)}</p>' for note in verdict.notes)}"
