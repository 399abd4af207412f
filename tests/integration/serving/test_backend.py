"""The backend in the real Triton, over gRPC: previews, files, guidance, adapters, cancellation, metrics, company."""

import asyncio
import io
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from rats_train.models.load import load_model
from serving.drawing.draw import draw
from serving.drawing.stepping import Stepper
from serving.keys import signing_keys
from serving.package.verification import verify_package
from serving.packaging.student import package_student
from serving.protocol import MAX_ROWS, Job
from serving.triton.client import Picture, RefusedError, draw_picture
from serving.triton.server import TritonServer
from tests.tiny_adapters import make_adapter
from tests.waiting import wait_for

LONG = 400
Ask = Callable[..., Picture]


class Running:
    """A Triton server, on an event loop in a thread of its own."""

    def __init__(self, server: TritonServer) -> None:
        self.server, self._loop = server, asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(300)

    async def draw(self, job: Job, on_preview: Any = None) -> Picture:
        return await draw_picture(self.server.client, "student", job, 120, on_preview)

    def count(self, name: str, **labels: str) -> float:
        text = httpx.get(f"http://127.0.0.1:{self.server.metrics_port}/metrics").text
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


@pytest.fixture(scope="module")
def package(tiny_pipeline_dir, keys, tmp_path_factory):
    folder = tmp_path_factory.mktemp("backend")
    load_model(tiny_pipeline_dir).save_student(
        folder / "student", None, terminal_sigma=0.25, steps=[3, 5, 8, LONG], guidance_scale=1.0
    )
    adapters = {"ink": make_adapter(folder / "student", folder / "ink", 0)}
    version = package_student(folder / "student", folder / "models", prompts=["a fox"], adapters=adapters, keys=keys)
    return verify_package(version, signing_keys(keys).public)


@pytest.fixture(scope="module")
def triton(package, keys, tmp_path_factory) -> Iterator[Running]:
    repo = package.path.parents[1]
    running = Running(TritonServer(repo, tmp_path_factory.mktemp("triton"), signing_keys(keys).public))
    try:
        running.do(running.server.start())
        running.do(running.server.load("student", 300))
        yield running
    finally:
        running.do(running.server.stop())


@pytest.fixture(scope="module")
def stepper(package) -> Stepper:
    return Stepper(package)


def test_a_full_mixed_batch_draws_the_pixels_that_each_has_alone(triton, stepper):
    jobs = [
        Job(prompt, seed, steps, guidance=guidance, adapter=adapter)
        for seed, (prompt, steps) in enumerate([("two owls", 3), ("a fox", 5), ("one cat", 8), ("a tree", 3)] * 3)
        for guidance, adapter in ((None, ""), (2.5, ""), (None, "ink"))
    ]

    async def all_at_once():
        return await asyncio.gather(*(triton.draw(job) for job in jobs))

    pictures = triton.do(all_at_once())
    for job, picture in zip(jobs, pictures, strict=True):
        np.testing.assert_array_equal(picture.content, draw(stepper, [job])[0])
    assert len({picture.content.tobytes() for picture in pictures}) == len(jobs)


def test_previews_arrive_step_by_step_and_approach_the_picture(triton):
    previews: list[Picture] = []
    picture = triton.do(triton.draw(Job("two owls", 1, 8, previews=True), previews.append))
    assert [preview.step for preview in previews] == list(range(1, 8))
    distances = [np.abs(preview.content.astype(int) - picture.content).mean() for preview in previews]
    assert distances[-1] < distances[0]
    plain = triton.do(triton.draw(Job("two owls", 1, 8)))
    np.testing.assert_array_equal(picture.content, plain.content)


@pytest.mark.parametrize("output_format", ["png", "webp"])
def test_files_hold_the_same_pixels(triton, output_format):
    pixels = triton.do(triton.draw(Job("two owls", 1, 3))).content
    file = triton.do(triton.draw(Job("two owls", 1, 3, format=output_format))).content
    with Image.open(io.BytesIO(file)) as image:
        assert image.format == output_format.upper()
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), pixels)


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        (Job("a fox", 0, 4), r"STEPS is 4: this student draws in \[3, 5, 8, 400\] steps"),
        (Job("a fox", 0, 3, adapter="oil"), "ADAPTER is 'oil': this version's adapters are ink"),
        (Job("a fox", 0, 3, negative_prompt="a cat"), "NEGATIVE_PROMPT has no effect"),
    ],
)
def test_what_can_never_be_drawn_is_refused_with_the_reason(triton, job, reason):
    with pytest.raises(RefusedError, match=reason):
        triton.do(triton.draw(job))


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("seed", -1, "SEED is -1: write a whole number"),
        ("guidance", float("nan"), "GUIDANCE is nan: write a number"),
        ("format", "gif", "FORMAT is 'gif': write png, webp or jpeg"),
    ],
)
def test_callers_with_a_client_of_their_own_are_refused_as_well(triton, name, value, reason):
    job = Job("a fox", 0, 3)
    object.__setattr__(job, name, value)  # ours would not even send it
    with pytest.raises(RefusedError, match=reason):
        triton.do(triton.draw(job))


def test_refusals_harm_nobody(triton, stepper):
    async def many_refused():
        refused = [triton.draw(Job("a fox", seed, 4)) for seed in range(100)]
        return await asyncio.gather(triton.draw(Job("two owls", 1, 8)), *refused, return_exceptions=True)

    picture, *refusals = triton.do(many_refused())
    assert {type(refusal) for refusal in refusals} == {RefusedError}
    np.testing.assert_array_equal(picture.content, draw(stepper, [Job("two owls", 1, 8)])[0])


def test_a_caller_that_gives_up_frees_its_slot_and_others_are_unharmed(triton, stepper):
    async def give_up():
        tasks = [asyncio.create_task(triton.draw(Job("a fox", seed, LONG))) for seed in range(MAX_ROWS)]
        async with asyncio.timeout(30):
            while await asyncio.to_thread(triton.count, "fewstep_active") < MAX_ROWS:
                await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        return await triton.draw(Job("two owls", 1, 3))  # waits for a slot, which only they hold

    before, steps = triton.count("fewstep_pictures_total", ended="cancelled"), triton.count("fewstep_steps_total")
    picture = triton.do(give_up())
    np.testing.assert_array_equal(picture.content, draw(stepper, [Job("two owls", 1, 3)])[0])
    triton.do(asyncio.sleep(2))
    assert triton.count("fewstep_pictures_total", ended="cancelled") == before + MAX_ROWS
    assert triton.count("fewstep_steps_total") - steps < LONG
    assert triton.count("fewstep_active") == 0


def test_a_caller_that_fails_gives_up_as_well(triton):
    def fail(_):
        raise ZeroDivisionError

    before = triton.count("fewstep_pictures_total", ended="cancelled")
    with pytest.raises(ZeroDivisionError) as failure:
        triton.do(triton.draw(Job("a fox", 0, LONG, previews=True), fail))
    wait_for(lambda: triton.count("fewstep_pictures_total", ended="cancelled") == before + 1, "the count")
    assert failure.tb is not None  # who keeps the exception keeps the stream, which ends all the same


def test_there_is_one_instance_where_there_is_no_gpu(triton):
    # The room that a gateway has for pictures is counted by instances.
    assert triton.do(triton.server.instances("student")) == max(1, torch.cuda.device_count())


def test_metrics_tell_of_batches_queue_and_prompts(triton):
    names = ("fewstep_step_seconds_total", "fewstep_queue_seconds_total", "fewstep_admitted_total")
    before = {name: triton.count(name) for name in names}
    hits = triton.count("fewstep_prompts_total", found="hit")

    async def several():
        await asyncio.gather(*(triton.draw(Job("three pizzas", seed, 3)) for seed in range(2 * MAX_ROWS)))

    triton.do(several())
    triton.do(asyncio.sleep(2))
    assert all(triton.count(name) > before[name] for name in names)
    assert triton.count("fewstep_steps_total", rows=str(MAX_ROWS)) >= 3
    assert triton.count("fewstep_prompts_total", found="hit") >= hits + 2 * MAX_ROWS - 1
