"""What stands guard over a run: the watch, the weights of its best look, early stopping, and the alarms.

All of it is a function of the run's records, so that a resumed run chooses, stops and warns as an undisturbed one.
"""

import json
import logging
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from rats_train.config import Training
from rats_train.engine.checkpoints import Checkpoints, full_disk_explained
from rats_train.engine.ranks import Ranks
from rats_train.engine.records import METRICS, read_lines
from rats_train.engine.roles import SERVED, Roles
from rats_train.engine.watch import Watch
from rats_train.errors import UserError
from rats_train.evaluation.alarms import ALARMS, Alarm, find_alarms
from rats_train.evaluation.watched import WATCH, WatchPoint, best_point, out_of_patience, read_watch, still_wanted
from rats_train.files import atomic_write_text

BEST = "best"

_log = logging.getLogger(__name__)


class Guards:
    """The guards of the run in ``out``. Every rank makes them, and all call alike.

    Args:
        watch: what draws and judges; None where the recipe asks for no watch.
    """

    def __init__(self, training: Training, watch: Watch | None, roles: Roles, out: Path, ranks: Ranks) -> None:
        self._training, self._watch, self._roles, self._out, self._ranks = training, watch, roles, out, ranks
        self._points: list[WatchPoint] = []
        self._warned: list[Alarm] = []

    def begin(self, done: int) -> None:
        """Take up the records of a run with ``done`` steps behind it, and look if that look is not there yet.

        A run that gave up waiting for a reward server has kept all its steps, but could not look after the last.

        Raises:
            UserError: the weights of the best look so far are gone.
            RewardAwayError: the server of a remote reward does not answer; may be called again.
        """
        self._points = self._ranks.from_first(lambda: self._take_up(done))
        if self._due(done) and all(point.step != done for point in self._points):
            self._look(done)

    def after_step(self, done: int) -> None:
        """Look and listen where it is due after ``done`` steps.

        Raises:
            RewardAwayError: as in `begin`.
        """
        last, watching = done == self._training.steps, self._due(done)
        if watching:
            self._look(done)
        if watching or last or done % self._training.checkpoint_every == 0:
            self._ranks.from_first(self._warn)

    @property
    def out_of_patience(self) -> bool:
        """Whether the recipe's patience with the held-out score has run out."""
        return out_of_patience(self._points, self._training.patience)

    def tidy(self, checkpoints: Checkpoints) -> None:
        """Drop weights that no run will export any more, one that goes on from an older checkpoint included."""
        self._ranks.from_first(lambda: self._drop_all_but(still_wanted(self._points, checkpoints.fallback)))

    @property
    def best(self) -> WatchPoint | None:
        """The look whose weights are to be exported; None where the last ones are."""
        return best_point(self._points)

    def finish(self) -> None:
        """Drop what the exported weights have won over; for the first rank, when the result is written."""
        self._drop_all_but(set() if self.best is None else {self.best.step})

    def best_weights(self, step: int) -> dict[str, Tensor]:
        """The weights kept of the look after ``step`` steps.

        Raises:
            UserError: they are gone.
        """
        if not self._weights(step).is_file():
            raise UserError(
                f"{self._weights(step)}, the best weights so far, is gone: restore it, or train into a new folder."
            )
        return load_file(self._weights(step))

    def _due(self, done: int) -> bool:
        every = self._training.watch_every
        return bool(every) and (done == self._training.steps or done % every == 0)

    def _look(self, done: int) -> None:
        if self._watch is None:
            return
        point = self._watch.look(done, self._roles.modules[SERVED])
        self._points.append(point)
        if self.best is point:
            weights = self._roles.weights(SERVED)
            self._ranks.from_first(lambda: self._write(done, weights))
        if self._ranks.first:
            with (self._out / WATCH).open("a") as file:
                file.write(json.dumps(point.to_line()) + "\n")
            _log.info("watch after step %d: %s", done, "  ".join(f"{k} {point.mean(k):.4g}" for k in point.kinds))

    def _take_up(self, done: int) -> list[WatchPoint]:
        points = read_watch(self._out / WATCH)
        best = best_point(points)
        if best is not None:
            self.best_weights(best.step)
        self._drop_all_but(still_wanted(points, done))
        self._warned = self._alarms(points)
        self._write_alarms()
        return points

    def _warn(self) -> None:
        known = {alarm.name for alarm in self._warned}
        self._warned = self._alarms(self._points)
        for alarm in self._warned:
            if alarm.name not in known:
                _log.warning("%s at step %d: %s %s", alarm.name, alarm.step, alarm.seen, alarm.cure)
        self._write_alarms()

    def _alarms(self, points: list[WatchPoint]) -> list[Alarm]:
        return find_alarms(read_lines(self._out / METRICS), points)

    def _write_alarms(self) -> None:
        atomic_write_text(self._out / ALARMS, "".join(json.dumps(asdict(alarm)) + "\n" for alarm in self._warned))

    def _weights(self, step: int) -> Path:
        return self._out / BEST / f"step-{step:06d}.safetensors"

    def _write(self, step: int, weights: dict[str, Tensor]) -> None:
        path = self._weights(step)
        path.parent.mkdir(exist_ok=True)
        scratch = path.with_suffix(".unfinished")
        with full_disk_explained(scratch, sum(tensor.nbytes for tensor in weights.values())):
            save_file(weights, scratch)
        scratch.replace(path)

    def _drop_all_but(self, steps: set[int]) -> None:
        wanted = {self._weights(step) for step in steps}
        for path in (self._out / BEST).glob("step-*"):
            if path not in wanted:
                path.unlink()
