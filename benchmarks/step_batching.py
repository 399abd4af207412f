"""Batching at the level of denoising steps against one picture at a time, in one process and one run.

    python -m benchmarks.step_batching

Callers of mixed 3, 5 and 8 steps at concurrency 1, 4 and 16 ask the loop of the `fewstep` backend, without Triton and
gateway around it, with batches of 8 and of 1, and stock diffusers behind a lock. Rounds of all take turns, because the
machine may be busy with other work; for the same reason the seconds of processor time a picture cost stand beside the
throughput. The simulated device waits 40 ms a step and 5 ms for each picture in it after the first, in place of the
transformer: it stands for an accelerator that one small picture does not fill, and shows the loop's own cost.

Results go to ``benchmarks/results/step_batching.json``.
"""

import itertools
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import torch
from diffusers import DiffusionPipeline

from benchmarks.table import exit_status
from rats_train.embedded import teacher_dir
from rats_train.files import write_json
from rats_train.models.load import load_model
from rats_train.provenance import describe_machine, package_versions, source_commit
from serving.drawing.loop import Failure, StepLoop
from serving.drawing.stepping import Sample, Stepper
from serving.keys import signing_keys
from serving.package.contents import Package
from serving.package.verification import verify_package
from serving.packaging.student import package_student
from serving.protocol import Job

RESULTS: Final = Path(__file__).parent / "results" / "step_batching.json"
MIX: Final = (3, 5, 8)
CONCURRENCY: Final = (1, 4, 16)
REQUESTS, ROUNDS = 24, 3
STEP_SECONDS, ROW_SECONDS = 0.04, 0.005
PROMPTS: Final = ("two owls", "a fox above a frog", "a cactus and a frog", "three pizzas")

Draw = Callable[[Job], None]
"""Draws one picture; called from as many threads as there are callers."""


@dataclass(frozen=True)
class Row:
    """Medians over the rounds of one server at one concurrency."""

    server: str
    concurrency: int
    mix: str
    batching: str
    throughput_rps: float
    cpu_ms_per_picture: float
    p50_ms: float
    p99_ms: float
    errors: int
    note: str


class Waiting:
    """An answer that its caller waits for."""

    def __init__(self) -> None:
        self._over, self._failure = threading.Event(), ""

    def cancelled(self) -> bool:
        """Nobody gives up here."""
        return False

    def show(self, step: int, picture: object, *, final: bool) -> None:
        """The picture is there."""
        if final:
            self._over.set()

    def fail(self, failure: Failure, reason: str) -> None:
        """It is not, and will not be."""
        self._failure = f"{failure}: {reason}"
        self._over.set()

    def wait(self) -> None:
        """Until the picture is there.

        Raises:
            RuntimeError: it failed.
        """
        self._over.wait()
        if self._failure:
            raise RuntimeError(self._failure)


class SimulatedDevice(Stepper):
    """A student whose steps take a fixed time."""

    def step(self, samples: Sequence[Sample]) -> None:
        """Wait, and move on."""
        time.sleep(STEP_SECONDS + ROW_SECONDS * (len(samples) - 1))
        for sample in samples:
            sample.step += 1


def through_loop(stepper: Stepper) -> Draw:
    """The backend's loop."""
    loop = StepLoop(stepper)

    def draw(job: Job) -> None:
        answer = Waiting()
        loop.submit(job, answer)
        answer.wait()

    return draw


def through_diffusers(student: Path) -> Draw:
    """Stock diffusers, one picture at a time."""
    pipeline, lock = DiffusionPipeline.from_pretrained(student, text_encoder_3=None, tokenizer_3=None), threading.Lock()
    pipeline.set_progress_bar_config(disable=True)

    def draw(job: Job) -> None:
        with lock:
            pipeline(
                job.prompt,
                num_inference_steps=job.steps,
                guidance_scale=1.0,
                generator=torch.Generator().manual_seed(job.seed),
            )

    return draw


def load(draw: Draw, concurrency: int) -> tuple[float, float, list[float], int]:
    """Pictures a second, processor seconds a picture, latencies in ms, and failures of `REQUESTS` mixed requests."""
    jobs = [Job(PROMPTS[i % len(PROMPTS)], i, MIX[i % len(MIX)]) for i in range(REQUESTS)]

    def one(job: Job) -> float | None:
        began = time.perf_counter()
        try:
            draw(job)
        except RuntimeError:
            return None
        return (time.perf_counter() - began) * 1000

    began, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(concurrency) as callers:
        taken = [each for each in callers.map(one, jobs) if each is not None]
    return (
        REQUESTS / (time.perf_counter() - began),
        (time.process_time() - cpu) / REQUESTS,
        taken,
        REQUESTS - len(taken),
    )


def measure(servers: dict[tuple[str, str, str], Draw]) -> list[Row]:
    """One row a server (name, batching, note) and concurrency; the servers take turns in every round."""
    for draw in servers.values():
        for steps in MIX:
            draw(Job(PROMPTS[0], 0, steps))
    cases = list(itertools.product(servers.items(), CONCURRENCY))
    seen: dict[int, list[tuple[float, float, list[float], int]]] = {number: [] for number in range(len(cases))}
    for _ in range(ROUNDS):
        for number, ((_, draw), concurrency) in enumerate(cases):
            seen[number].append(load(draw, concurrency))
    rows = []
    for number, (((server, batching, note), _), concurrency) in enumerate(cases):
        rounds = seen[number]
        latencies = sorted(itertools.chain.from_iterable(taken for _, _, taken, _ in rounds))
        rows.append(
            Row(
                server=server,
                concurrency=concurrency,
                mix="/".join(map(str, MIX)),
                batching=batching,
                throughput_rps=round(statistics.median(each[0] for each in rounds), 2),
                cpu_ms_per_picture=round(1000 * statistics.median(each[1] for each in rounds), 1),
                p50_ms=round(statistics.median(latencies), 1),
                p99_ms=round(latencies[int(0.99 * (len(latencies) - 1))], 1),
                errors=sum(each[3] for each in rounds),
                note=note,
            )
        )
    return rows


def packaged(folder: Path) -> Package:
    """The embedded teacher, packaged as if it were a student: its weights cost what a student's do."""
    teacher = load_model(teacher_dir())
    teacher.save_student(folder / "student", None, terminal_sigma=0.25, steps=list(MIX), guidance_scale=1.0)
    version = package_student(folder / "student", folder / "models", prompts=PROMPTS, keys=folder / "keys")
    return verify_package(version, signing_keys(folder / "keys").public)


def run() -> None:
    """Measure, print and write."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        package = packaged(Path(folder))
        cpu, device = "embedded model on one core", "simulated device: 40 ms a step, 5 ms a picture after the first"
        rows = measure(
            {
                ("diffusers", "none", cpu): through_diffusers(package.student),
                ("fewstep", "none", cpu): through_loop(Stepper(package, max_rows=1)),
                ("fewstep", "steps, 8", cpu): through_loop(Stepper(package)),
                ("fewstep", "none", device): through_loop(SimulatedDevice(package, max_rows=1)),
                ("fewstep", "steps, 8", device): through_loop(SimulatedDevice(package)),
            }
        )
    made = datetime.now(UTC).isoformat(timespec="seconds")
    facts = {"commit": source_commit(), "created": made, "machine": describe_machine().model_dump()}
    write_json(RESULTS, facts | {"versions": package_versions(), "rows": [asdict(row) for row in rows]})
    for row in rows:
        sys.stdout.write(
            f"{row.server:9} {row.batching:8} x{row.concurrency:<2} {row.throughput_rps:7.2f}/s "
            f"{row.cpu_ms_per_picture:6.1f} cpu ms, p50 {row.p50_ms:7.1f} ms, p99 {row.p99_ms:7.1f} ms  {row.note}\n"
        )


if __name__ == "__main__":
    sys.exit(exit_status(run))
