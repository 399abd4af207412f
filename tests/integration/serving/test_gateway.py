"""Everything about the gateway that is not a picture."""

import re

import pytest


def test_models_tell_what_they_can_do(client):
    (model,) = client.models.list().data
    assert (model.id, model.object, model.owned_by) == ("student", "model", "rats")
    assert model.model_extra["steps"] == [3, 5, 8]
    assert model.model_extra["size"] == "64x64"
    assert model.model_extra["examples"] == ["two owls", "a fox above a frog"]


def test_health_is_a_drawn_picture(http):
    answer = http.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "models": {"student": "ok"}})


def test_metrics_count_requests_and_pictures(http):
    def value(line_start):
        lines = http.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(line_start))

    pictures = 'rats_pictures_total{model="student",steps="3"}'
    before = value(pictures), value('rats_requests_total{status="200"}'), value('rats_requests_total{status="400"}')
    http.post("/v1/images/generations", json={"prompt": "a fox", "n": 2, "num_inference_steps": 3})
    http.post("/v1/images/generations", json={})
    after = value(pictures), value('rats_requests_total{status="200"}'), value('rats_requests_total{status="400"}')
    assert after == (before[0] + 2, before[1] + 1, before[2] + 1)


def test_the_page_needs_nothing_from_elsewhere(http):
    page = http.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert not re.search(r"(?i)(https?:)?//[a-z]|<link|src\s*=\s*[\"']", page.text)


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"nope", 400), (b"", 400), (b"[1]", 400), (b'{"prompt": "\\ud800"}', 400), (b'"' + b"x" * 70_000 + b'"', 413)],
)
def test_bad_bodies_are_refused_in_openai_shape(http, body, status):
    answer = http.post("/v1/images/generations", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_a_body_of_unknown_length_is_refused(http):
    answer = http.post("/v1/images/generations", content=iter([b"{}"]))
    assert answer.status_code == 411


@pytest.mark.parametrize("path", ["/nope", "/v1/images/nope/content", "/docs"])
def test_unknown_paths_answer_in_openai_shape(http, path):
    answer = http.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"]
