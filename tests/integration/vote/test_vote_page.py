"""`rats vote` in a real browser: keys and taps vote, a reload goes on, a crash loses nothing, no one is named."""

import json
import re
import signal
import subprocess
import sys

import pytest

from pipelines.vote.ballot import Ballot
from pipelines.vote.contestants import find_contestants
from pipelines.vote.votes import VoteLog
from rats_train.evaluation.scorecard import Scorecard
from tests.browser import headless_browser
from tests.unit.evaluation.conftest import synthetic_scores, write_evaluation
from tests.unit.pipelines.vote.conftest import make_run

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
PAIRS = ("r:student_3", "r:teacher_3")


@pytest.fixture(scope="module")
def browser():
    with headless_browser() as found:
        yield found


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    root = tmp_path_factory.mktemp("vote")
    make_run(root / "runs", "r", write_evaluation(root, synthetic_scores()))
    return root / "runs"


@pytest.fixture(scope="module")
def ballot(workspace):
    return Ballot(*find_contestants(workspace, *PAIRS))


@pytest.fixture(scope="module")
def log(workspace, ballot):
    return VoteLog(workspace / "votes" / ballot.key / "votes.jsonl")


class Server:
    """`rats vote` as a person starts it."""

    def __init__(self, workspace, port="0"):
        command = [sys.executable, "-m", "pipelines.cli", "vote", *PAIRS, "--port", port, "--workspace", str(workspace)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.url = re.search(r"http://127\.0\.0\.1:\d+", self.process.stdout.readline())[0]


@pytest.fixture(scope="module")
def server(workspace):
    started = Server(workspace)
    yield started
    started.process.kill()
    started.process.wait()


@pytest.fixture
def voter(browser, server):
    """A function that opens the page as a new voter, with the words and addresses of all that it is told."""
    contexts = []

    def visit(**options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.told = []
        page.on("response", lambda answer: page.told.append(answer))
        page.goto(server.url)
        page.locator("#pair[data-position='0']").wait_for()
        return page

    yield visit
    for context in contexts:
        context.close()


def name(page):
    (cookie,) = page.context.cookies()
    return cookie["value"]


def position(page):
    return int(page.get_attribute("#pair", "data-position"))


def pictures(page):
    return [page.get_attribute(f"#{side} img", "src") for side in ("left", "right")]


def press(page, key, then):
    """Vote by a key, and wait for the pair at position ``then``."""
    page.keyboard.press(key)
    page.locator(f"#pair[data-position='{then}']").wait_for()


def votes_of(log, voter):
    return {vote.pair: vote.winner for vote in log.read() if vote.voter == voter}


def test_keys_vote_and_the_pair_changes(voter, ballot, log):
    page = voter()
    seen, expected = [pictures(page)], {}
    order = ballot.order(name(page))
    for place, (key, side) in enumerate((("ArrowLeft", 0), ("ArrowRight", 1), ("ArrowDown", None))):
        assert page.inner_text("#prompt") == ballot.prompt(order[place])
        press(page, key, place + 1)
        expected[order[place]] = None if side is None else ballot.sides(name(page), order[place])[side].digest
        seen.append(pictures(page))
    assert votes_of(log, name(page)) == expected
    assert len({tuple(pair) for pair in seen}) == 4
    assert page.inner_text("#count") == "3 of 48"


def test_a_reload_goes_on_where_it_stopped(voter):
    page = voter()
    press(page, "ArrowLeft", 1)
    press(page, "ArrowRight", 2)
    before = pictures(page)
    page.reload()
    page.locator("#pair[data-position='2']").wait_for()
    assert pictures(page) == before
    assert page.inner_text("#count") == "2 of 48"


def test_going_back_shows_the_choice_and_voting_again_replaces_it(voter, ballot, log):
    page = voter()
    press(page, "ArrowLeft", 1)
    press(page, "ArrowLeft", 2)
    press(page, "ArrowUp", 1)
    press(page, "ArrowUp", 0)
    assert "chosen" in page.get_attribute("#left", "class")
    press(page, "ArrowDown", 2)
    order = ballot.order(name(page))
    second = ballot.sides(name(page), order[1])[0].digest
    assert votes_of(log, name(page)) == {order[0]: None, order[1]: second}
    assert sum(name(page) in line for line in log.path.read_text().splitlines()) == 3


def test_a_key_held_down_votes_once(voter, ballot, log):
    page = voter()
    page.keyboard.down("ArrowLeft")
    page.locator("#pair[data-position='1']").wait_for()
    page.wait_for_timeout(300)  # the page is ready again, and the key still down
    page.keyboard.down("ArrowLeft")
    page.keyboard.up("ArrowLeft")
    press(page, "ArrowRight", 2)
    first, second = ballot.order(name(page))[:2]
    expected = {first: ballot.sides(name(page), first)[0].digest, second: ballot.sides(name(page), second)[1].digest}
    assert votes_of(log, name(page)) == expected


def test_a_thumb_votes_on_a_phone_and_sees_both_pictures_whole(voter, log):
    page = voter(**PHONE)
    boxes = [page.locator(f"#{side} img").bounding_box() for side in ("left", "right")]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)
    assert all(box["y"] >= 0 and box["y"] + box["height"] <= 844 for box in boxes)
    assert min(box["width"] for box in boxes) > 200
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.tap("#right")
    page.locator("#pair[data-position='1']").wait_for()
    page.tap("#tie")
    page.locator("#pair[data-position='2']").wait_for()
    assert len(votes_of(log, name(page))) == 2


def test_nothing_tells_who_drew_what(voter, ballot):
    page = voter()
    for place, key in enumerate(("ArrowLeft", "ArrowDown", "ArrowRight")):
        press(page, key, place + 1)
    told = "".join(answer.url + answer.text() + json.dumps(answer.all_headers()) for answer in page.told)
    told += page.content() + json.dumps(page.context.cookies()) + page.evaluate("JSON.stringify(localStorage)")
    for secret in ("student", "teacher", ballot.first.digest, ballot.second.digest, ballot.key):
        assert secret not in told, secret
    assert all(answer.url.startswith("http://127.0.0.1:") for answer in page.told)


def test_the_last_pair_ends_it_with_thanks(voter, log):
    page = voter()
    page.evaluate(
        """async () => { for (let position = 0; position < 47; position++) await fetch("votes", { method: "POST",
           headers: { "Content-Type": "application/json" }, body: JSON.stringify({ position, choice: "tie" }) }); }"""
    )
    page.reload()
    page.locator("#pair[data-position='47']").wait_for()
    page.keyboard.press("ArrowRight")
    page.get_by_text("All 48 pairs are judged. Thank you!").wait_for()
    assert len(votes_of(log, name(page))) == 48
    page.keyboard.press("ArrowUp")
    page.locator("#pair[data-position='47']:not([hidden])").wait_for()


def test_a_server_that_dies_loses_no_vote_and_the_page_carries_on(browser, workspace, log):
    server = Server(workspace)
    page = browser.new_context().new_page()
    page.goto(server.url)
    page.locator("#pair[data-position='0']").wait_for()
    press(page, "ArrowLeft", 1)
    server.process.kill()
    server.process.wait()
    page.keyboard.press("ArrowLeft")
    page.get_by_text("The server does not answer: start it again, then vote again.").wait_for()
    assert len(votes_of(log, name(page))) == 1
    again = Server(workspace, server.url.rpartition(":")[2])
    press(page, "ArrowLeft", 2)
    assert len(votes_of(log, name(page))) == 2
    again.process.send_signal(signal.SIGINT)
    said, _ = again.process.communicate(timeout=120)
    assert again.process.returncode == 0
    assert "r:student_3 is preferred to r:teacher_3 in" in said
    (seen,) = Scorecard.read(workspace / "r" / "scorecard.json").preferences
    assert seen.votes == len(log.read())
