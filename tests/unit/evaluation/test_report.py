import json
import re
from functools import partial
from html.parser import HTMLParser

import pytest

from rats_train.errors import UserError
from rats_train.evaluation.gallery import WORST
from rats_train.evaluation.report import between, difference, duration, spot, tone, write_report
from rats_train.evaluation.scores import Scores
from rats_train.evaluation.verdict import judge
from tests.unit.evaluation.conftest import PROTOCOL


class Page(HTMLParser):
    """Collects what a browser would fetch and read."""

    def __init__(self, text):
        super().__init__()
        self.sources, self.words, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag not in {"meta", "img", "br", "link", "path", "use"}:
            self.open.append(tag)
        self.sources += [value for name, value in attrs if name in {"src", "href", "xlink:href"}]

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def write(evaluation_dir):
    """The report of the synthetic evaluation."""
    verdict = judge(Scores.read(evaluation_dir / "scores.json"), None)
    return partial(write_report, evaluation=evaluation_dir, verdict=verdict)


@pytest.fixture
def report(write, training_dir, tmp_path):
    run = tmp_path / "run.json"
    run.write_text(
        json.dumps({"steps": [{"name": "train_student", "status": "succeeded", "seconds": 71, "cached": False}]})
    )
    path = tmp_path / "report.html"
    return write(path, gallery_count=4, training=training_dir, run=run)


def test_report_needs_nothing_beside_it(report):
    page = Page(report.read_text())
    assert all(source.startswith(("data:image/", "#")) for source in page.sources)
    assert not re.search(r"@import|url\(\s*['\"]?http", report.read_text())
    assert page.open == []


def test_report_shows_teacher_and_student_side_by_side(report):
    text = report.read_text()
    assert sum(source.startswith("data:image/webp") for source in Page(text).sources) == (4 + WORST) * 7
    captions = re.findall(r"<span>((?:teacher|student) \d+)</span>", text)
    assert captions[:7] == ["teacher 50", "teacher 8", "teacher 5", "teacher 3", "student 8", "student 5", "student 3"]


def test_report_tells_verdict_numbers_calls_and_origin(report):
    words = " ".join(Page(report.read_text()).words)
    for piece in (
        "Promoted: at 3, 5 and 8 steps",
        "held out",
        "trained on",
        "promote: ",
        "No NSFW guard looked at these pictures",
        "The 6 prompts on which the student falls farthest behind the teacher at 50 steps",
        "even",
        "squared maximum mean discrepancy in the features of reward_b",
        PROTOCOL.digest,
        "asks its network twice a step",
        "curl -s http://127.0.0.1:8080/v1/images/generations",
        "OpenAI(base_url=",
        "digest 000000000000",
        "ahead from step",
        "1 min 11 s",
    ):
        assert piece in words, piece


def test_report_shows_watch_alarms_and_where_the_teacher_leads(write, guarded_dir, tmp_path):
    path = write(tmp_path / "r.html", gallery_count=1, training=guarded_dir)
    page = Page(path.read_text())
    words = " ".join(page.words)
    for piece in (
        "0.5 s a step, with at most 1.5 GiB of memory.",
        "Exported are the weights of step 200",
        "dead gate, step 150",
        "Raise method.tau.",
        "Held-out prompts at 5 steps",
        "Gap, prompt by prompt",
        "Gate, prompt by prompt",
        "On 10 of 20 prompts the teacher still leads",
        "synthetic prompt 0",
    ):
        assert piece in words, piece
    assert all(source.startswith(("data:image/", "#")) for source in page.sources)
    assert page.open == []


def test_report_without_training_or_run_leaves_them_out(write, tmp_path):
    words = write(tmp_path / "r.html", gallery_count=1).read_text()
    assert "How it learned" not in words
    assert "Where the time went" not in words


def test_prompts_cannot_inject_markup(write, evaluation_dir, tmp_path):
    scores = evaluation_dir / "scores.json"
    scores.write_text(scores.read_text().replace("synthetic prompt 0", "<script>x</script>"))
    assert "<script>" not in write(tmp_path / "r.html", gallery_count=1).read_text()


def test_missing_pictures_are_one_clear_line(write, evaluation_dir, tmp_path):
    (evaluation_dir / "arms" / "teacher_5.safetensors").unlink()
    with pytest.raises(UserError, match="lacks the pictures of teacher_5"):
        write(tmp_path / "r.html", gallery_count=1)


def test_numbers_are_written_for_people():
    assert difference(0.125, "all_correct") == "+12.5 pts"
    assert difference(-0.02, "reward_a") == "−0.020"
    assert difference(-0.0001, "reward_a") == "+0.000"
    assert between((-0.01, 0.03), "reward_a") == "−0.010 … +0.030"
    assert [tone(ci) for ci in ((0.1, 0.2), (-0.1, 0.2), (-0.2, -0.1))] == ["better", "even", "worse"]
    assert [spot(value, 2.0) for value in (-2.0, 0.0, 1.0, 9.0)] == [0, 50, 75, 100]
    assert [duration(seconds) for seconds in (0.52, 59.4, 130)] == ["0.5 s", "59.4 s", "2 min 10 s"]
