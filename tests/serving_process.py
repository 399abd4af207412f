"""`rats serve` as a process of its own."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# A shell that starts the tests in the background lets SIGINT be ignored by all that it starts.
SCRIPT = """\
import signal, sys
from pathlib import Path
from serving.endpoint import run_forever
signal.signal(signal.SIGINT, signal.default_int_handler)
run_forever(Path(sys.argv[1]), on_ready=lambda endpoint: print(endpoint.url, flush=True), http_port=0)
"""


@contextlib.contextmanager
def serving_process(
    repo: Path, keys: Path, *, stderr: int | None = None, **environment: str
) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Serves `repo` with the keys in `keys`, ready: the process and its URL. It is asked to end afterwards."""
    variables = {**os.environ, "RATS_KEYS": str(keys), **environment}
    command = [sys.executable, "-c", SCRIPT, str(repo)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=variables) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.terminate()
