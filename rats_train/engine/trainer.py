"""The training loop: batches in; steps, checkpoints and records out. Every choice of substance is the method's."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rats_train.config import Recipe, recipe_digest
from rats_train.devices import peak_memory
from rats_train.engine.checkpoints import Checkpoints, full_disk_explained
from rats_train.engine.guards import Guards
from rats_train.engine.identity import Identity
from rats_train.engine.joint_reward import load_joint_rewards
from rats_train.engine.memory import out_of_memory_explained
from rats_train.engine.outages import Outages
from rats_train.engine.previews import PREVIEWED, preview_columns, save_preview
from rats_train.engine.ranks import Ranks
from rats_train.engine.records import METRICS, Records, read_lines
from rats_train.engine.roles import SERVED, Roles
from rats_train.engine.stop import StopRequest
from rats_train.engine.watch import Watch
from rats_train.errors import OutOfMemoryError, RetryableError, UserError
from rats_train.evaluation.heldout import watch_prompts
from rats_train.files import write_json
from rats_train.learning_rate import learning_rate
from rats_train.methods.base import STUDENT, StepContext, StepResult
from rats_train.methods.build import build_method
from rats_train.models.base import FlowModel
from rats_train.prompt_metadata import prompt_metadata
from rats_train.provenance import package_versions
from rats_train.rewards.check_recipe import check_rewards
from rats_train.sampling.teacher import load_teacher
from rats_train.seeds import derived_seed
from rats_train.trajectories.order import rank_rows, step_rows
from rats_train.trajectories.prompts import PromptBatch, PromptSource
from rats_train.trajectories.reader import TrajectoryStore

RESULT = "result.json"

_log = logging.getLogger(__name__)


class Trainer:
    """One run of a recipe into the folder ``out``, by all ranks together.

    Raises:
        UserError: a checkpoint, the store or the prompts are missing, or do not belong to the recipe.
    """

    def __init__(self, recipe: Recipe, store: Path | None, out: Path, identity: Identity, ranks: Ranks) -> None:
        _check_divides(recipe, ranks)
        check_rewards(recipe)
        self._recipe, self._out, self._identity, self._ranks = recipe, out, identity, ranks
        self._method = build_method(recipe)
        self._prompts = PromptSource(recipe)
        self._data = _open_store(store, identity) if self._method.needs_trajectories else self._prompts
        self._model = load_teacher(recipe).to(ranks.device)
        if recipe.training.offload_text_encoders:
            _offload_text_encoders(self._model, recipe, self._prompts)
        self._rewards = load_joint_rewards(recipe.rewards.train, ranks, prompt_metadata(recipe))
        self._roles = Roles(self._method.roles, self._model.transformer, recipe.training, ranks, recipe.seed)
        self._checkpoints = Checkpoints(out / "checkpoints", identity.run, ranks)
        watch = Watch(recipe, self._model, self._rewards, ranks) if recipe.training.watch_every else None
        self._guards = Guards(recipe.training, watch, self._roles, out, ranks)
        self._stop = StopRequest()
        self._outages = Outages(recipe, out, ranks, self._stop)

    def run(self) -> None:
        """Train from the last checkpoint to the end, then write the student and ``result.json``.

        Raises:
            UserError: a loss, a gradient or a reward is not finite, or the disk is full.
            RetryableError: asked to stop, or tired of waiting for a reward server; a checkpoint of the last step is
                written.
        """
        resumed = self._checkpoints.restore(self._roles)
        records = Records(self._out, resumed, self._recipe.training.steps) if self._ranks.first else None
        self._outages.outlast(lambda: self._guards.begin(resumed), resumed, keep=lambda: None)
        if not resumed:
            self._preview(0)
        for step in range(resumed, self._recipe.training.steps):
            if self._guards.out_of_patience:
                break
            metrics, samples = self._step(step)
            if records is not None:
                records.add(metrics, samples)
                self._report(metrics)
            self._look(step + 1)
            self._keep(step + 1)
        self._finish(resumed)

    def _step(self, step: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Make one step; its metrics, and a record of each row of the global batch."""
        start, recipe, ranks = self._outages.clock(), self._recipe, self._ranks
        rows = step_rows(recipe.seed, step, recipe.training.batch_size, len(self._data))
        result = self._result(step, self._data.batch(rank_rows(rows, ranks.rank, ranks.size)))
        losses = {role: ranks.mean(loss) for role, loss in result.losses.items()}
        self._check_finite("loss", losses, step)
        rate = learning_rate(step, recipe.training.steps, recipe.training.learning_rate, recipe.training.steps // 20)
        rates = {role: rate * result.rates.get(role, 1.0) for role in losses}
        with out_of_memory_explained(recipe, step, kept="the last checkpoint"):
            norms = self._roles.learn(result.losses, rates)
        self._check_finite("gradient norm", norms, step)
        self._roles.follow(step, learned=losses)
        samples = ranks.gather(result.samples)
        metrics = {
            "step": step + 1,
            **_by_role("loss", losses),
            **(self._method.summarise(samples) if samples else {}),
            **_by_role("grad_norm", norms),
            "learning_rate": rate,
            "seconds": round(self._outages.clock() - start, 4),
        }
        return metrics, self._sample_records(step + 1, rows, samples)

    def _result(self, step: int, batch: PromptBatch) -> StepResult:
        """What the method makes of this rank's rows. No weight has moved yet: the steps before are kept if memory runs
        out, and while a reward server is away."""

        def work() -> StepResult:
            # Random numbers are a function of the step, so there is no generator state to save.
            torch.manual_seed(derived_seed(self._recipe.seed, "step", step, self._ranks.rank))
            with out_of_memory_explained(self._recipe, step, kept="what was learned before"):
                return self._method.step(batch, self._context(step))

        def keep() -> None:
            self._checkpoints.keep(step, self._roles)

        try:
            return self._outages.outlast(lambda: self._ranks.together(work), step, keep)
        except OutOfMemoryError:
            keep()
            raise

    def _look(self, done: int) -> None:
        def keep() -> None:
            self._checkpoints.keep(done, self._roles)

        self._outages.outlast(lambda: self._guards.after_step(done), done, keep)

    def _context(self, step: int) -> StepContext:
        recompute = self._recipe.training.recompute in ("step", "both")
        return StepContext(step, self._model, self._rewards, self._roles.modules, recompute)

    def _sample_records(self, step: int, rows: list[int], samples: Mapping[str, Tensor]) -> list[dict[str, Any]]:
        named = self._prompts.batch(rows)
        return [
            {
                "step": step,
                "prompt": prompt,
                "seed": seed,
                **{name: float(vector[i]) for name, vector in samples.items()},
            }
            for i, (prompt, seed) in enumerate(zip(named.prompts, named.seeds, strict=True))
            if samples
        ]

    def _check_finite(self, what: str, values: Mapping[str, float], step: int) -> None:
        for role, value in values.items():
            if not math.isfinite(value):
                raise UserError(
                    f"The {what} of the {role} is {value} in step {step + 1}: training has diverged; the last "
                    "checkpoint is kept. Lower training.learning_rate and train into a new folder."
                )

    def _keep(self, done: int) -> None:
        """Checkpoint where it is due or someone asked to stop; then stop if so."""
        steps, every = self._recipe.training.steps, self._recipe.training.checkpoint_every
        last = done == steps or self._guards.out_of_patience
        stopping = self._ranks.any(self._stop.requested)
        if stopping or done % every == 0 or last:
            self._checkpoints.save(done, self._roles)
            self._guards.tidy(self._checkpoints)
        if stopping and not last:
            raise RetryableError(
                f"Stopped after step {done} of {steps}; run the same command again to go on from there."
            )
        if done % every == 0 or last:
            self._preview(done)

    def _preview(self, done: int) -> None:
        batch = self._data.batch(range(min(PREVIEWED, len(self._data))))
        student, device = self._roles.modules[SERVED], self._ranks.device
        columns = preview_columns(self._recipe, self._model, student, batch, device)
        if self._ranks.first:
            save_preview(self._out / "previews" / f"step-{done:04d}.png", batch, columns)

    def _report(self, metrics: Mapping[str, Any]) -> None:
        steps = self._recipe.training.steps
        if metrics["step"] % self._recipe.training.log_every == 0 or metrics["step"] == steps:
            values = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items() if name != "step")
            _log.info("step %d/%d  %s", metrics["step"], steps, values)

    def _finish(self, resumed: int) -> None:
        """Write the student of the best look, then the result: whoever finds a result finds a whole student."""
        weights, peak = self._roles.weights(SERVED), self._ranks.most(peak_memory(self._ranks.device))
        self._ranks.from_first(lambda: self._export(weights, self._summary(resumed, int(peak))))

    def _export(self, weights: dict[str, Tensor], summary: dict[str, Any]) -> None:
        student, best = self._recipe.student, self._guards.best
        if best is not None:
            weights = self._guards.best_weights(best.step)
        state = self._roles.stock(weights)
        with full_disk_explained(self._out / STUDENT, sum(tensor.nbytes for tensor in state.values())):
            self._model.save_student(
                self._out / STUDENT,
                state,
                terminal_sigma=student.terminal_sigma,
                steps=student.steps,
                guidance_scale=self._recipe.student_guidance_scale,
                lora=self._roles.lora(weights),
            )
        write_json(self._out / RESULT, summary)
        self._guards.finish()

    def _summary(self, resumed: int, peak: int) -> dict[str, Any]:
        steps, best = read_lines(self._out / METRICS), self._guards.best
        return {
            "key": self._identity.run,
            "final_loss": next(line["loss"] for line in reversed(steps) if "loss" in line),
            "steps": len(steps),
            "stopped_early": len(steps) < self._recipe.training.steps,
            "exported_step": len(steps) if best is None else best.step,
            "seconds": round(sum(line["seconds"] for line in steps), 1),
            # Of the process that ended it, on the rank that had most.
            "peak_memory": peak,
            "world_size": self._ranks.size,
            "resumed_from": resumed or None,
            "recipe_digest": recipe_digest(self._recipe),
            "versions": package_versions(),
        }


def _open_store(store: Path | None, identity: Identity) -> TrajectoryStore:
    if store is None:
        raise UserError("This recipe learns from stored trajectories: name their folder with --store.")
    opened = TrajectoryStore(store)
    if opened.manifest.key != identity.data:
        raise UserError(
            f"{store} holds the trajectories of another recipe (key {opened.manifest.key}, wanted {identity.data}): "
            "generate those of this one."
        )
    return opened


def _offload_text_encoders(model: FlowModel, recipe: Recipe, prompts: PromptSource) -> None:
    """Encode all prompts ahead and move the encoders away."""
    watched = watch_prompts(recipe) if recipe.training.watch_every else []
    model.remember_prompts(["", *prompts.all, *watched], recipe.trajectories.batch_size)


def _check_divides(recipe: Recipe, ranks: Ranks) -> None:
    if recipe.training.batch_size % ranks.size:
        raise UserError(
            f"training.batch_size {recipe.training.batch_size} does not divide among {ranks.size} ranks: "
            "make it a multiple."
        )


def _by_role(name: str, values: Mapping[str, float]) -> dict[str, float]:
    """Metric names: plain for the student, with the role in front for the others."""
    return {name if role == STUDENT else f"{role}_{name}": value for role, value in values.items()}
