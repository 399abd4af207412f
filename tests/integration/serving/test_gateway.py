"""The gateway in front of the real Triton: what a played model server cannot show."""

import base64
import io
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import numpy as np
import openai
import pytest
from PIL import Image

from serving.preview_client import PreviewClient
from tests.serving_process import serving_process
from tests.waiting import wait_for

BODY = {"prompt": "two owls", "seed": 5, "num_inference_steps": 8}
PATH = "/v1/images/generations"


def test_health_is_a_drawn_picture(http):
    answer = http.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "models": {"student": "ok"}})


def test_metrics_count_requests_and_pictures(http):
    def value(line_start):
        lines = http.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(line_start))

    pictures = 'rats_pictures_total{model="student",steps="3"}'
    before = value(pictures), value('rats_requests_total{status="200"}'), value('rats_requests_total{status="400"}')
    http.post(PATH, json={"prompt": "a fox", "n": 2, "num_inference_steps": 3})
    http.post(PATH, json={})
    after = value(pictures), value('rats_requests_total{status="200"}'), value('rats_requests_total{status="400"}')
    assert after == (before[0] + 2, before[1] + 1, before[2] + 1)


def test_previews_come_nearer_to_the_picture(endpoint, client):
    with client.images.generate(prompt="two owls", stream=True, partial_images=3, extra_body={"seed": 5}) as stream:
        events = list(stream)
    looks = [np.asarray(Image.open(io.BytesIO(base64.b64decode(event.b64_json)))).astype(float) for event in events]
    distances = [np.abs(look - looks[-1]).mean() for look in looks]
    assert len(looks) == 4
    assert distances[0] > distances[2] > 0
    plain = client.images.generate(prompt="two owls", extra_body={"seed": 5})
    assert plain.data[0].b64_json == events[-1].b64_json
    with PreviewClient(endpoint.url) as ours:
        frames = list(ours.draw("two owls", steps=8, seed=5))
    assert [frame.step for frame in frames] == list(range(1, 9))
    assert base64.b64encode(frames[-1].file).decode() == events[-1].b64_json


def test_a_negative_prompt_for_a_student_without_guidance_is_refused_by_its_own_name(client):
    with pytest.raises(openai.BadRequestError, match="negative_prompt has no effect") as error:
        client.images.generate(prompt="two owls", extra_body={"negative_prompt": "rain"})
    assert error.value.param == "negative_prompt"


def test_a_caller_who_leaves_frees_the_queue(http, tritons, repo):
    command = tritons(os.getpid(), repo)["server"].cmdline()
    port = next(each.partition("=")[2] for each in command if each.startswith("--metrics-port="))

    def given_up():
        lines = httpx.get(f"http://127.0.0.1:{port}/metrics").text.splitlines()
        counts = [
            float(line.split()[-1]) for line in lines if line.startswith('fewstep_pictures_total{ended="cancelled')
        ]
        return sum(counts)

    before = given_up()
    for _ in range(8):  # more pictures than the queue holds, had they stayed
        with http.stream("POST", PATH, json={**BODY, "n": 10, "stream": True, "partial_images": 100}) as answer:
            assert answer.status_code == 200
            next(answer.iter_lines())
        wait_for(lambda: "rats_requests_in_flight 0.0" in http.get("/metrics").text, "room")
    wait_for(lambda: given_up() > before + 40, "the count")
    assert http.post(PATH, json={**BODY, "n": 10}).status_code == 200


@pytest.mark.slow
def test_a_signal_lets_a_stream_end_and_is_no_error(repo, keys):
    with serving_process(repo, keys, stderr=subprocess.PIPE) as (process, url):
        with httpx.stream("POST", url + PATH, json={**BODY, "n": 10, "stream": True}, timeout=60) as answer:
            lines = answer.iter_lines()
            next(lines)
            process.terminate()
            done = 1 + sum(line == "event: image_generation.completed" for line in lines)
        complaints = process.communicate(timeout=60)[1]
    assert (done, process.returncode) == (10, 0)
    assert "Traceback" not in complaints


@pytest.mark.slow
def test_one_trace_leads_from_the_caller_through_the_gateway_to_triton(repo, keys):
    received = {}

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            kind = "triton" if b'"resourceSpans"' in body else "gateway"
            received[kind] = received.get(kind, b"") + body
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    collector = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    trace = "0af7651916cd43dd8448eb211c80319c"
    endpoint = f"http://127.0.0.1:{collector.server_port}"
    with serving_process(repo, keys, OTEL_BSP_SCHEDULE_DELAY="200", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as (
        process,
        url,
    ):
        headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
        answer = httpx.post(url + PATH, json=BODY, headers=headers, timeout=60)
        process.terminate()
        assert process.wait(60) == 0
    collector.shutdown()
    assert answer.status_code == 200
    assert bytes.fromhex(trace) in received["gateway"]
    assert trace in received["triton"].decode().lower()
