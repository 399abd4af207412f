"""The work of this step, as a function of paths."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from components.shared.page import figure, write_page
from components.shared.process import limit_threads
from components.shared.step import Progress
from components.shared.summary import table, write_summary, write_tracked
from components.shared.workspace import publish
from rats_train.config import load_recipe

if TYPE_CHECKING:
    from rats_train.evaluation.scorecard import Comparison, Scorecard

COLUMNS = ("steps", "metric", "kind", "student", "teacher, same steps", "lead", "95 %", "teacher, full", "lead", "95 %")


def evaluate_student(recipe_path: Path, student: Path, log: Path, folder: Path, progress: Progress) -> None:
    """Fill ``folder/evaluation``, reusing the arms that an interrupted attempt drew, and enter it into MLflow."""
    limit_threads()
    from components.evaluate_rewards.tracking import track
    from components.shared.reward_files import fetch_rewards
    from rats_train.evaluation.curves import read_curve, save_curves
    from rats_train.evaluation.sample import evaluate
    from rats_train.evaluation.scorecard import Scorecard

    recipe = load_recipe(str(recipe_path))
    fetch_rewards(recipe)
    card = Scorecard.read(
        evaluate(recipe, student, folder / "evaluation", lambda done, total, arm: progress(done, total, arm=arm))
    )
    evaluation = folder / "evaluation"
    save_curves(read_curve(log / "metrics.jsonl"), evaluation / "curves.png")
    figures = [
        figure(evaluation / "grid.png", "Same prompts, same seeds."),
        figure(evaluation / "worst.png", "Where the student falls farthest behind its full teacher."),
        figure(evaluation / "curves.png", "Training: rewards, their gap, and the gate."),
    ]
    write_page(evaluation / "gallery.html", "Teacher and student", figures)
    publish(evaluation / "gallery.html", folder / "gallery.html")
    write_summary(folder, _summary(card), leads(card) | _distances(card))
    write_tracked(folder, track(recipe, student=student, log=log, evaluation=evaluation, key=folder.name))


def leads(card: "Scorecard") -> dict[str, float]:
    """The student's lead over the teacher at the same steps, by budget and metric."""
    return {f"lead_{name}_at_{budget}": row.gap for budget, name, row in _rows(card)}


def _distances(card: "Scorecard") -> dict[str, float]:
    """How far the student's pictures lie from the full teacher's as distributions, by budget."""
    arms = {budget: card.arms[f"student_{budget}"].distance for budget in card.budgets}
    return {f"distance_at_{budget}": found.value for budget, found in arms.items() if found is not None}


def _rows(card: "Scorecard") -> Iterator[tuple[str, str, "Comparison"]]:
    """Budget, metric and comparison, rewards first."""
    for part in (card.nfe, card.quality):
        for budget, metrics in part.items():
            yield from ((budget, name, row) for name, row in metrics.items())


def _summary(card: "Scorecard") -> str:
    rows = []
    for budget, name, row in _rows(card):
        same = [row.teacher_same_nfe, row.gap, _interval(row.ci95)]
        rows.append([budget, name, row.kind, row.student, *same, row.teacher_50, row.gap_50, _interval(row.ci95_50)])
    few = min(card.budgets)
    ahead = ", ".join(f"{name} {row.gap:+.3f}" for name, row in card.nfe[str(few)].items())
    parts = [f"# student at {few} steps against teacher at {few}: {ahead}", table(COLUMNS, rows), card.note]
    if card.categories:
        parts.append(_category_table(card))
    return "\n\n".join([*parts, f"Evaluation digest {card.evaluation_digest}."])


def _category_table(card: "Scorecard") -> str:
    """Held-out rewards and rules by kind of prompt, over the full teacher."""
    head = ("kind of prompt", "", "prompts", "steps", "metric", "student", "teacher, full", "lead", "95 %")
    rows = [
        [row.tag, row.category, row.prompts, row.budget, row.metric, row.student, row.teacher_50, row.gap_50, ci95]
        for row in card.categories
        if row.kind != "trained"
        for ci95 in ["few prompts" if row.ci95_50 is None else _interval(row.ci95_50)]
    ]
    return table(head, rows)


def _interval(ends: tuple[float, float]) -> str:
    return f"{ends[0]:+.4f} to {ends[1]:+.4f}"
