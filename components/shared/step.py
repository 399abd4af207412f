"""A step is done once per content key: begun, resumed, found done, and recorded.

    folder = run_step("train_student", key, work, {"student": student.path}, resumes=True)

Why our own cache and not kfp.local's or the backend's: theirs keys on the component's text and parameters, so an edited
library or a changed checkpoint at an old path would be served stale; it cannot hand a half-trained step back to be
resumed; and local and cluster runs would each follow other rules. Here the key is an input parameter computed from code
and data digests (`components.shared.keys`), so where KFP's cache is on as well, it is right for the same reason.
"""

import fcntl
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.shared.process import follow_runner, spare_collector
from components.shared.summary import SUMMARY, headline, kept_page, publish_summary
from components.shared.workspace import publish, run_dir, step_dir
from rats_train.errors import RetryableError, UserError
from rats_train.files import read_json, sha256_file, write_json

COMPLETE = "complete.json"

Progress = Callable[..., None]
Work = Callable[[Path, Progress], None]


def run_step(
    step: str,
    key: str,
    work: Work,
    outputs: Mapping[str, str],
    *,
    resumes: bool = False,
    also: Callable[[], str] | None = None,
) -> Path:
    """Do ``work(folder, progress)`` unless this content was done before, and publish what it made.

    Args:
        step: name of the step.
        key: content key of everything that the result depends on.
        work: writes its results into ``folder``; ``progress(done, total, **values)`` tells how far it is.
        outputs: where to publish, by name in the folder: ``{"student": student.path}``.
        also: says what the result depends on besides, and only shows when the step begins; it is joined to the key.
        resumes: whether ``work`` carries on from what a killed attempt left; otherwise it begins in an empty folder.

    Returns:
        The work folder.

    Raises:
        SystemExit: status 2 for a person's mistake, 75 where trying again may help; the reason is printed in one line.
    """
    follow_runner()
    with recorded(step, key=key) as record:
        folder = step_dir(step, f"{key}-{also()}" if also else key)
        record["folder"] = str(folder)
        _write_record(record, status="running")
        with _sole_owner(folder):
            record["cached"] = _is_complete(folder)
            if not record["cached"]:
                _do(folder, work, resumes)
            record |= {"work_seconds": read_json(folder / COMPLETE)["seconds"], "headline": headline(folder)}
            _publish(folder, outputs)
    return folder


def _publish(folder: Path, outputs: Mapping[str, str]) -> None:
    for name, target in outputs.items():
        if name == SUMMARY:
            publish_summary((folder / name).read_text(), target, kept_page(folder))
        else:
            publish(folder / name, Path(target))


@contextmanager
def recorded(step: str, **values: Any) -> Iterator[dict[str, Any]]:
    """Keep the record of ``step`` in its run, ``<run>/steps/<step>.json``: running, then succeeded, or failed and why.

    Yields:
        The record, to add values to.

    Raises:
        SystemExit: as `run_step`.
    """
    spare_collector()
    record: dict[str, Any] = {"name": step, "cached": False, "began": time.time(), **values}
    _write_record(record, status="running")
    try:
        yield record
    except (UserError, RetryableError) as error:
        _write_record(record, status="failed", error=str(error), exit_code=error.exit_code)
        print(f"{step}: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(error.exit_code) from error
    except BaseException as error:
        _write_record(record, status="failed", error=f"{type(error).__name__}: {error}", exit_code=1)
        raise
    _write_record(record, status="succeeded")


def _write_record(record: dict[str, Any], **values: Any) -> None:
    record |= {**values, "seconds": round(time.time() - record["began"], 3)}
    if (run := run_dir()) is not None:
        write_json(run / "steps" / f"{record['name']}.json", record)


def is_done(step: str, key: str, root: Path) -> bool:
    """Whether the workspace ``root`` holds the finished work of ``step`` for ``key``."""
    return _is_complete(step_dir(step, key, root))


def _do(folder: Path, work: Work, resumes: bool) -> None:
    """Run the work and, last of all, write the list of its files that calls it complete."""
    if not resumes:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    work(folder, progress_writer(folder / "progress.json"))
    seconds = round(time.monotonic() - begun, 3)
    write_json(folder / COMPLETE, {"seconds": seconds, "files": _digests(folder)})


def _is_complete(folder: Path) -> bool:
    """Whether the work was finished and every byte of it is still as it was.

    Reading it all costs no more than its next reader will, and a damaged result is made again instead of handed on.
    """
    return (folder / COMPLETE).is_file() and read_json(folder / COMPLETE)["files"] == _digests(folder)


def _digests(folder: Path) -> dict[str, str]:
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != COMPLETE]
    return {str(file.relative_to(folder)): sha256_file(file) for file in files}


@contextmanager
def _sole_owner(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: a second process with the same key waits, and then finds the work done."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def progress_writer(path: Path, every: float = 0.5) -> Progress:
    """A function ``progress(done, total, **values)`` that keeps ``path`` fresh: ``{step, steps, eta_seconds, ...}``."""
    begun: tuple[float, int] | None = None
    last_write = float("-inf")

    def progress(done: int, total: int, **values: float | str) -> None:
        nonlocal begun, last_write
        now = time.monotonic()
        # What an earlier attempt had done took none of this attempt's time.
        begun = begun or (now, done)
        if done < total and now - last_write < every:
            return
        last_write = now
        made = done - begun[1]
        eta = (now - begun[0]) / made * (total - done) if made else None
        write_json(path, {"step": done, "steps": total, "eta_seconds": eta, **values})

    return progress
