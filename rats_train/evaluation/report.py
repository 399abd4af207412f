"""The report: one HTML file that needs nothing beside it, with pictures to judge and numbers to check.

write_report(run / "report.html", evaluation=run / "evaluation", verdict=verdict, training=run / "training")
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rats_train.errors import UserError
from rats_train.evaluation.bootstrap import Interval
from rats_train.evaluation.curves import crossing, read_curve, smooth
from rats_train.evaluation.gallery import WORST, Exhibit, Tile, read_gallery, read_worst
from rats_train.evaluation.learning import read_learning
from rats_train.evaluation.pictures import data_uri, to_picture
from rats_train.evaluation.preference import Preference
from rats_train.evaluation.scorecard import Scorecard
from rats_train.evaluation.scores import ALL_CORRECT, DIVERSITY_FEATURES, DIVERSITY_PIXELS, SCENE_LIKENESS, Scores
from rats_train.evaluation.summary import headlines, join_words, sentence
from rats_train.evaluation.verdict import Verdict
from rats_train.files import atomic_write_text, read_json

TILE = 256
_VOTES = re.compile(r"(<!-- votes -->).*?(<!-- end of votes -->)", re.DOTALL)
SHOWN_LED = 15
LABELS = {
    ALL_CORRECT: "everything right",
    SCENE_LIKENESS: "likeness to a real scene, dB",
    DIVERSITY_FEATURES: "diversity, features",
    DIVERSITY_PIXELS: "diversity, pixels",
}
FLAGS = {
    "trained": "trained on",
    "heldout": "held out",
    "verifier": "rules",
    "realism": "realism",
    "diversity": "diversity",
    "guard": "guard",
}


def write_report(
    path: Path,
    *,
    evaluation: Path,
    verdict: Verdict,
    gallery_count: int,
    training: Path | None = None,
    run: Path | None = None,
    served: Mapping[str, float] | None = None,
    endpoint: str = "http://127.0.0.1:8080",
    model: str = "student",
) -> Path:
    """Write the report of one evaluation.

    Args:
        path: the HTML file to write.
        evaluation: folder that :func:`rats_train.evaluation.sample.evaluate` wrote.
        verdict: what came of it (`rats_train.evaluation.verdict.judge`).
        gallery_count: how many prompts to show.
        training: folder of the training run, for its curves and timings; None leaves them out.
        run: ``run.json`` of the pipeline, for the seconds of its steps; None leaves them out.
        served: what trying the endpoint measured: ``seconds_to_ready``, ``seconds_at_<n>_steps`` and
            ``largest_difference`` from stock diffusers; None leaves it out.
        endpoint: where the student is served, for the example calls.
        model: its name there.

    Raises:
        UserError: the evaluation or training folder lacks a file, or one is damaged.
    """
    card = Scorecard.read(evaluation / "scorecard.json")
    scores = Scores.read(evaluation / "scores.json")
    page = _environment().get_template("report.html.j2")
    html = page.render(
        card=card,
        verdict=verdict,
        sentence=sentence(card, verdict),
        headlines=headlines(card),
        exhibits=read_gallery(evaluation, scores, gallery_count),
        worst=read_worst(evaluation, scores, WORST),
        scales=_scales(card),
        training=None if training is None else _training(training),
        run=None if run is None else read_json(run),
        served=served,
        endpoint=endpoint,
        model=model,
    )
    atomic_write_text(path, html)
    return path


def show_preferences(path: Path, preferences: Sequence[Preference]) -> None:
    """Show in a report that is there already what people preferred, in place of what it said of that before.

    Raises:
        UserError: the file is no report of this version.
    """
    text = path.read_text()
    shown = _environment().get_template("preferences.html.j2").render(preferences=preferences)
    made, places = _VOTES.subn(lambda found: f"{found[1]}\n{shown}{found[2]}", text)
    if not places:
        raise UserError(f"{path} has no place for votes: it is of another version; write the report again.")
    atomic_write_text(path, made)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "amount": amount,
        "difference": difference,
        "between": between,
        "label": lambda metric: LABELS.get(metric, metric),
        "flag": FLAGS.__getitem__,
        "uri": lambda tile: data_uri(to_picture(tile.image, TILE)),
        "tone": tone,
        "duration": duration,
        "words": lambda numbers: join_words([str(number) for number in numbers]),
    }
    environment.globals |= {
        "shown_led": SHOWN_LED,
        "state_tones": {"met": "better", "failed": "worse", "open": "even"},
        "state_signs": {"met": "✓", "failed": "✗", "open": "?"},
        "teacher_tiles": _tiles("teacher"),
        "student_tiles": _tiles("student"),
        "spot": spot,
    }
    return environment


def amount(value: float, metric: str) -> str:
    """A mean as people read it: a share as per cent, anything else with three decimals."""
    return f"{value:.1%}" if metric == ALL_CORRECT else f"{value:.3f}"


def difference(value: float, metric: str) -> str:
    """A signed difference: points for shares, three decimals otherwise."""
    return f"{_signed(100 * value, 1)} pts" if metric == ALL_CORRECT else _signed(value, 3)


def between(ci95: Interval, metric: str) -> str:
    """An interval of differences."""
    scale, digits = (100, 1) if metric == ALL_CORRECT else (1, 3)
    return " … ".join(_signed(scale * end, digits) for end in ci95)


def tone(ci95: Interval) -> str:
    """``better``, ``worse``, or ``even`` when the interval holds zero."""
    return "better" if ci95[0] > 0 else "worse" if ci95[1] < 0 else "even"


def duration(seconds: float) -> str:
    """Seconds as ``3.2 s`` or ``4 min 10 s``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def spot(value: float, scale: float) -> float:
    """Where a difference lies on a bar from ``-scale`` to ``scale``, in per cent of its width."""
    return round(50 + 50 * max(-1.0, min(1.0, value / scale)), 2)


def _signed(value: float, digits: int) -> str:
    # Adding zero turns a rounded -0.0 into 0.0, which has no direction to speak of.
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")


def _tiles(role: str) -> Any:
    def of(exhibit: Exhibit) -> list[Tile]:
        return [tile for tile in exhibit.tiles if tile.role == role]

    return of


def _scales(card: Scorecard) -> dict[str, float]:
    """For every metric the widest reach of its intervals, so that its bars share one scale."""
    return {metric: max(_reach(card, metric), 1e-9) for metric in card.kinds}


def _reach(card: Scorecard, metric: str) -> float:
    seen = [card.comparison(int(budget), metric) for budget in card.nfe]
    ends = [end for one in seen for ci95 in (one.ci95, one.ci95_50, one.ci95_unguided) if ci95 for end in ci95]
    return max(abs(end) for end in ends)


def _training(folder: Path) -> Mapping[str, Any]:
    curve = read_curve(folder / "metrics.jsonl")
    return {
        "learning": read_learning(folder),
        "ahead": crossing(curve.steps, smooth(curve.gap)),
        "result": read_json(folder / "result.json"),
    }
