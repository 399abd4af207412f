"""One real tritonserver with its gateway for all tests that only ask it for pictures."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

from serving.endpoint import Endpoint, serve
from serving.keys import signing_keys
from serving.packaging.student import package_student
from tests.outages import Outage

OUTAGES = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where other work shares the cores, seconds say little; there the processor time until service is back counts."""
    parser.addoption(
        "--wall-clock", action="store_true", help="service has to be back in 30 s by the clock on the wall"
    )


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """What became of the faults that were tried, in seconds."""
    if found := config.stash.get(OUTAGES, []):
        terminalreporter.section("outages")
        terminalreporter.write_line("\n".join(found))


@pytest.fixture
def outage(request: pytest.FixtureRequest) -> Callable[[], Outage]:
    """A function that takes the time of an outage, from now on."""
    wall_clock = request.config.getoption("--wall-clock", default=False)
    reports = request.config.stash.setdefault(OUTAGES, [])
    return lambda: Outage(request.node.name, wall_clock, reports.append)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key pair."""
    folder = tmp_path_factory.mktemp("keys")
    signing_keys(folder)
    return folder


@pytest.fixture(scope="session")
def repo(tiny_student_dir: Path, keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with one version of the tiny student."""
    folder = tmp_path_factory.mktemp("serving") / "models"
    package_student(tiny_student_dir, folder, prompts=["two owls", "a fox above a frog"], keys=keys)
    return folder


@pytest.fixture(scope="session")
def endpoint(repo: Path, keys: Path) -> Iterator[Endpoint]:
    """The running endpoint."""
    with serve(repo, http_port=0, keys=keys) as running:
        yield running


@pytest.fixture
def http(endpoint: Endpoint) -> Iterator[httpx.Client]:
    """A plain HTTP client of the endpoint."""
    with httpx.Client(base_url=endpoint.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="session")
def client(endpoint: Endpoint) -> openai.OpenAI:
    """The official OpenAI client, unchanged."""
    return openai.OpenAI(base_url=f"{endpoint.url}/v1", api_key="unused", max_retries=0)


@pytest.fixture(scope="session")
def tritons() -> Callable[..., dict[str, psutil.Process]]:
    """The living Triton processes below a process id that serve from a folder: the "server" and its "stub"."""

    def find(pid: int, folder: Path = Path("/")) -> dict[str, psutil.Process]:
        found = {}
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                program = Path(process.exe()).name
                ours = any(str(folder) in argument for argument in process.cmdline())
                if ours and program in ("tritonserver", "triton_python_backend_stub"):
                    found["stub" if "stub" in program else "server"] = process
        return found

    return find
