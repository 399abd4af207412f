"""Sides, order, the file of votes, and what is made of them."""

import pytest
from scipy.stats import binomtest

from pipelines.vote.result import count, publish
from pipelines.vote.votes import Vote, VoteLog
from rats_train.errors import UserError
from rats_train.evaluation.scorecard import Scorecard
from tests.unit.evaluation.test_report import Page

VOTERS = [f"{number:032x}" for number in range(20)]


@pytest.fixture
def log(tmp_path):
    return VoteLog(tmp_path / "votes" / "votes.jsonl")


def vote(pair, winner, voter=VOTERS[0]):
    return Vote(voter=voter, pair=pair, winner=winner, at="2026-01-01T00:00:00+00:00")


def test_sides_are_even_differ_between_voters_and_stay(ballot):
    left = {voter: [ballot.sides(voter, pair)[0] is ballot.first for pair in range(len(ballot))] for voter in VOTERS}
    sides = [side for row in left.values() for side in row]
    assert binomtest(sum(sides), len(sides)).pvalue > 0.001
    assert len({tuple(row) for row in left.values()}) == len(VOTERS)
    assert left[VOTERS[3]] == [ballot.sides(VOTERS[3], pair)[0] is ballot.first for pair in range(len(ballot))]


def test_every_prompt_is_seen_once_before_any_is_seen_again(ballot):
    orders = [ballot.order(voter) for voter in VOTERS]
    for order in orders:
        assert sorted(order) == list(range(48))
        assert sorted(ballot.prompt_number(pair) for pair in order[:24]) == list(range(24))
    assert len({tuple(order) for order in orders}) == len(VOTERS)


def test_a_choice_is_for_whoever_stood_there(ballot):
    for voter in VOTERS[:3]:
        for pair in range(6):
            left, right = ballot.sides(voter, pair)
            shown = ballot.pictures(voter, pair)
            assert shown[0].equal(left.images[pair])
            assert shown[1].equal(right.images[pair])
            assert ballot.winner(voter, pair, "left") == left.digest
            assert ballot.winner(voter, pair, "right") == right.digest
            assert ballot.winner(voter, pair, "tie") is None


def test_a_second_vote_replaces_the_first_and_both_stay_in_the_file(log):
    for each in (vote(1, "a"), vote(2, "b"), vote(1, None), vote(1, "b", VOTERS[1])):
        log.add(each)
    assert log.read() == [vote(1, None), vote(2, "b"), vote(1, "b", VOTERS[1])]
    assert len(log.path.read_text().splitlines()) == 4


def test_a_vote_that_a_crash_cut_short_costs_no_other(log):
    log.add(vote(1, "a"))
    with log.path.open("a") as file:
        file.write(vote(2, "a").model_dump_json()[:20])
    assert log.read() == [vote(1, "a")]
    log.add(vote(3, "b"))
    assert log.read() == [vote(1, "a"), vote(3, "b")]


def test_a_line_that_is_no_vote_is_named(log):
    log.add(vote(1, "a"))
    with log.path.open("a") as file:
        file.write('{"voter": "x"}\n')
    with pytest.raises(UserError, match=r"Line 2 of .*votes.jsonl is no vote"):
        log.read()


def test_votes_are_counted_for_the_first_named(ballot):
    ours, theirs = ballot.first.digest, ballot.second.digest
    # Prompt 0 has the pairs 0 and 1: won once, tied once. Prompt 1 is won, prompt 2 lost.
    seen = count([vote(0, ours), vote(1, None), vote(2, ours), vote(4, theirs, VOTERS[1])], ballot)
    assert (seen.first, seen.second) == ("r:student_3", "r:teacher_3")
    assert (seen.won, seen.lost, seen.tied, seen.votes, seen.voters, seen.prompts) == (2, 1, 1, 4, 2, 3)
    assert seen.share == pytest.approx((0.75 + 1 + 0) / 3)
    assert count([], ballot) is None


def test_the_result_is_in_scorecard_and_report_once_and_the_evaluation_is_untouched(ballot, workspace):
    evaluation = workspace / "cache" / "evaluate_rewards" / "r" / "evaluation" / "scorecard.json"
    before = evaluation.read_bytes()
    for votes in ([vote(0, None)], [vote(0, ballot.first.digest), vote(2, ballot.first.digest)]):
        files = publish(count(votes, ballot), ballot)
    assert files == [workspace / "r" / "scorecard.json", workspace / "r" / "report.html"]
    (seen,) = Scorecard.read(workspace / "r" / "scorecard.json").preferences
    assert (seen.share, seen.votes, seen.elo) == (1.0, 2, None)
    page = Page((workspace / "r" / "report.html").read_text())
    words = " ".join(page.words)
    assert words.count("What people preferred") == 1
    assert "100.0 %" in words
    assert "r:teacher_3" in words
    assert page.open == []
    assert evaluation.read_bytes() == before
