import io

import numpy as np
import pytest
from PIL import Image

from serving.gateway.auth import ApiKeys, api_key_file
from serving.gateway.settings import GatewaySettings
from serving.preview_client import EndpointError, PreviewClient
from serving.triton.client import BrokenError
from tests.unit.serving.gateway.conftest import running
from tests.unit.serving.gateway.fake_server import pixels_of
from tests.waiting import wait_for


def test_every_step_of_every_picture_is_shown(gateway, server):
    with PreviewClient(gateway.url) as client:
        frames = list(client.draw("two owls", steps=5, seed=7, n=2))
    for index in (0, 1):
        own = [frame for frame in frames if frame.index == index]
        assert [frame.step for frame in own] == [1, 2, 3, 4, 5]
        assert [frame.final for frame in own] == [False] * 4 + [True]
        for frame in own:
            picture = np.asarray(Image.open(io.BytesIO(frame.file)))
            job = next(job for job in server.jobs if job.seed == 7 + index)
            np.testing.assert_array_equal(picture, pixels_of(server.packages["student"], job, frame.step))


def test_who_stops_looking_gives_up_what_is_left(gateway, server):
    server.pause_at_step = 4
    with PreviewClient(gateway.url) as client:
        frames = client.draw("two owls", steps=8)
        assert next(frames).step == 1
        frames.close()
        wait_for(lambda: server.in_flight == 0, "pictures given up")
    assert len(server.given_up) == 1


def test_failures_come_in_the_endpoint_s_words(gateway, server):
    with PreviewClient(gateway.url) as client:
        with pytest.raises(EndpointError, match="must be one of 3, 5, 8") as refused:
            list(client.draw("two owls", steps=4))
        assert refused.value.status == 400
        server.failure, server.fail_at_step = BrokenError("the stub died"), 2
        with pytest.raises(EndpointError, match="the stub died"):
            list(client.draw("two owls"))


def test_a_key_is_sent(server, tmp_path):
    keys = ApiKeys(api_key_file(tmp_path))
    with running(server, GatewaySettings(keys)) as gateway:
        with PreviewClient(gateway.url, api_key=keys.add("ann", 60, 10)) as client:
            assert list(client.draw("two owls"))[-1].final
        with PreviewClient(gateway.url) as client, pytest.raises(EndpointError, match="no API key"):
            list(client.draw("two owls"))
