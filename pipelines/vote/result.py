"""What the votes say so far, and where a person finds it: in the scorecards and reports of those voted on."""

from collections.abc import Sequence
from pathlib import Path

from pipelines.vote.ballot import Ballot
from pipelines.vote.votes import Vote
from rats_train.evaluation.preference import Preference, bradley_terry, elo
from rats_train.evaluation.report import show_preferences
from rats_train.evaluation.scorecard import Scorecard


def count(votes: Sequence[Vote], ballot: Ballot) -> Preference | None:
    """How often the first contestant of ``ballot`` is preferred; None before there is a vote."""
    if not votes:
        return None
    points = [0.5 if vote.winner is None else float(vote.winner == ballot.first.digest) for vote in votes]
    share, ci95, prompts = bradley_terry(points, [ballot.prompt_number(vote.pair) for vote in votes])
    return Preference(
        first=ballot.first.name,
        second=ballot.second.name,
        prompts=prompts,
        voters=len({vote.voter for vote in votes}),
        votes=len(votes),
        won=points.count(1.0),
        lost=points.count(0.0),
        tied=points.count(0.5),
        share=share,
        ci95=ci95,
        elo=elo(share),
        elo_ci95=(elo(ci95[0]), elo(ci95[1])),
    )


def publish(seen: Preference, ballot: Ballot) -> list[Path]:
    """Enter a result into the scorecard of each contestant, and into the report beside it; returns those files.

    Raises:
        UserError: a scorecard is of another version.
    """
    cards = dict.fromkeys((ballot.first.evaluation.scorecard, ballot.second.evaluation.scorecard))
    return [file for card in cards for file in _enter(seen, card)]


def _enter(seen: Preference, path: Path) -> list[Path]:
    card = Scorecard.read(path)
    others = [each for each in card.preferences if {each.first, each.second} != {seen.first, seen.second}]
    preferences = [*others, seen]
    card.model_copy(update={"preferences": preferences}).write(path)
    report = path.with_name("report.html")
    if not report.is_file():
        return [path]
    show_preferences(report, preferences)
    return [path, report]
