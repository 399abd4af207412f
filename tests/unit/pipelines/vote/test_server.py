"""What the page's server answers: never who drew what, and every mistake in words."""

import base64
import json
from io import BytesIO

import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from pipelines.vote.server import _data_uri, create_app
from pipelines.vote.votes import VoteLog


@pytest.fixture
def log(tmp_path):
    return VoteLog(tmp_path / "votes.jsonl")


@pytest.fixture
def client(ballot, log):
    """A browser that has opened the page."""
    client = TestClient(create_app(ballot, log), base_url="http://127.0.0.1")
    client.get("/")
    return client


def test_no_answer_names_a_contestant(ballot, client):
    answers = [client.get("/"), client.get("/progress"), *(client.get(f"/pairs/{place}") for place in range(8))]
    answers.append(client.post("/votes", json={"position": 0, "choice": "left"}))
    told = "".join(answer.text + json.dumps(dict(answer.headers)) for answer in answers)
    for secret in ("student", "teacher", ballot.first.digest, ballot.second.digest, ballot.key, "winner", '"r"'):
        assert secret not in told, secret
    assert client.get("/openapi.json").status_code == 404


def test_both_pictures_are_files_of_one_kind_without_a_word_inside(client):
    for place in range(4):
        pair = client.get(f"/pairs/{place}").json()
        assert set(pair) == {"position", "prompt", "left", "right", "choice"}
        for side in ("left", "right"):
            head, _, data = pair[side].partition(",")
            assert head == "data:image/webp;base64"
            picture = Image.open(BytesIO(base64.b64decode(data)))
            assert picture.size == (512, 512)
            assert set(picture.info) <= {"loop", "background", "timestamp", "duration"}


def test_a_video_moves():
    frames = torch.zeros(5, 3, 24, 32, dtype=torch.uint8)
    frames[:, 0] = torch.arange(0, 250, 50).view(5, 1, 1)
    picture = Image.open(BytesIO(base64.b64decode(_data_uri(frames).partition(",")[2])))
    assert (picture.n_frames, picture.size) == (5, (512, 384))


def test_the_voter_is_a_random_name_in_a_cookie_that_no_other_site_can_use(ballot, log):
    client = TestClient(create_app(ballot, log), base_url="http://127.0.0.1")
    cookie = client.get("/").headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "set-cookie" not in client.get("/").headers
    other = TestClient(create_app(ballot, log), base_url="http://127.0.0.1")
    other.get("/")
    assert client.cookies["rats_voter"] != other.cookies["rats_voter"]


def test_a_vote_is_kept_and_replaced_and_the_next_pair_named(ballot, client, log):
    voter = client.cookies["rats_voter"]
    assert client.get("/progress").json() == {"total": 48, "done": 0, "next": 0}
    assert client.post("/votes", json={"position": 0, "choice": "left"}).json() == {"total": 48, "done": 1, "next": 1}
    assert client.post("/votes", json={"position": 2, "choice": "tie"}).json() == {"total": 48, "done": 2, "next": 1}
    assert client.post("/votes", json={"position": 0, "choice": "right"}).json()["done"] == 2
    first, third = ballot.order(voter)[0], ballot.order(voter)[2]
    assert {each.pair: each.winner for each in log.read()} == {first: ballot.sides(voter, first)[1].digest, third: None}
    assert [client.get(f"/pairs/{place}").json()["choice"] for place in range(3)] == ["right", None, "tie"]


def test_after_the_last_pair_there_is_no_next(client):
    for place in range(48):
        answer = client.post("/votes", json={"position": place, "choice": "tie"}).json()
    assert answer == {"total": 48, "done": 48, "next": None}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"position": 48, "choice": "left"}, 404),
        ({"position": -1, "choice": "left"}, 404),
        ({"position": 0, "choice": "both"}, 422),
        ({"position": 0, "choice": "left", "voter": "x"}, 422),
    ],
)
def test_what_is_no_vote_is_refused(client, log, body, status):
    assert client.post("/votes", json=body).status_code == status
    assert log.read() == []


@pytest.mark.parametrize("cookie", [None, "short", "../../../../etc/passwd", "g" * 32])
def test_without_the_page_there_is_no_vote(ballot, log, cookie):
    client = TestClient(create_app(ballot, log), base_url="http://127.0.0.1")
    headers = {"Cookie": f"rats_voter={cookie}"} if cookie else {}
    answer = client.post("/votes", json={"position": 0, "choice": "left"}, headers=headers)
    assert (answer.status_code, answer.json()["detail"][:25]) == (400, "Open the page itself firs")
    assert log.read() == []
