"""A loaded student that takes denoising steps for pictures at different points of their way."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rats_train.models.base import FlowModel, PromptEmbeds, concatenated
from rats_train.models.load import load_model
from rats_train.sampling.draw import to_uint8
from rats_train.sampling.noise import initial_noise
from rats_train.sampling.steps import euler_step, x0_from_velocity
from serving.drawing.buckets import Buckets, bucket_sizes, cuda_graph
from serving.drawing.invariance import changes_no_bit, isolate_rows
from serving.drawing.velocity import Evaluate, Rows, in_chunks, joined, velocity_of
from serving.package.contents import Package
from serving.protocol import MAX_ROWS, Job

log = logging.getLogger(__name__)

CACHED_PROMPTS = 64
"""Prompts whose embeddings are kept; the least recently used is forgotten first."""


@dataclass
class Sample:
    """A picture on its way: what it is to be, and how far it is."""

    job: Job
    latents: Tensor
    """``[1, *latent_shape]``."""
    sigmas: Tensor
    prompts: list[PromptEmbeds]
    """The prompt; behind it, with classifier-free guidance, the negative one."""
    guidance: float
    x0: Tensor
    """What the last step predicts the clean latents to be; before the first, the noise."""
    step: int = 0


class Stepper:
    """The student of a package on one device; use it from one thread.

    Raises:
        UserError: it cannot be loaded.
    """

    def __init__(self, package: Package, device: str = "cpu", max_rows: int = MAX_ROWS) -> None:
        self._package, self.max_rows = package, max_rows
        self._model: FlowModel = load_model(package.student).to(device)
        for name in package.adapters:
            self._model.load_adapter(name, package.adapter(name))
        # Looked up once: diffusers walks through all modules for a device, and builds a scheduler for noise levels.
        self._device = self._model.device
        self._sigmas = {steps: self._model.sigmas(steps).to(self._device) for steps in package.steps}
        self._embeds = lru_cache(CACHED_PROMPTS)(self._encode)
        self._evaluate = self._isolated() if device == "cpu" else self._captured()

    def rows(self, job: Job) -> int:
        """Transformer evaluations that one step of `job` costs.

        Raises:
            ValueError: this student cannot draw it; the message says what it can.
        """
        package = self._package
        if job.steps not in package.steps:
            raise ValueError(f"STEPS is {job.steps}: this student draws in {package.steps} steps")
        if job.adapter and job.adapter not in package.adapters:
            known = ", ".join(package.adapters) or "none"
            raise ValueError(f"ADAPTER is {job.adapter!r}: this version's adapters are {known}")
        if job.format == "jpeg" and package.is_video:
            raise ValueError("FORMAT is 'jpeg': a JPEG cannot move, write webp or png")
        guided = self._guidance(job) != 1 and not self._model.takes_guidance
        if job.negative_prompt and not guided:
            raise ValueError("NEGATIVE_PROMPT has no effect at this guidance scale: leave it out")
        return 2 if guided else 1

    def start(self, job: Job) -> Sample:
        """The picture before its first step."""
        prompts = [job.prompt, job.negative_prompt][: self.rows(job)]
        noise = initial_noise([job.seed], self._model.latent_shape).to(self._device)
        embeds = [self._embeds(prompt) for prompt in prompts]
        return Sample(job, noise, self._sigmas[job.steps], embeds, self._guidance(job), x0=noise)

    @torch.inference_mode()
    def step(self, samples: Sequence[Sample]) -> None:
        """Take each picture's next step, all together; they share their adapter."""
        adapter = samples[0].job.adapter
        velocities = self._evaluate[adapter](joined([_rows(sample) for sample in samples]))
        for sample in samples:
            own, velocities = velocities[: len(sample.prompts)], velocities[len(sample.prompts) :]
            _advance(sample, own)

    @torch.inference_mode()
    def decode(self, sample: Sample) -> NDArray[np.uint8]:
        """Pixels uint8[H, W, 3], of a video uint8[T, H, W, 3]: after the last step the picture, before it a preview,
        which is what the step predicts.
        """
        latents = sample.latents if sample.step == sample.job.steps else sample.x0
        # Alone: a decoder's convolutions round differently in a batch.
        picture: NDArray[np.uint8] = to_uint8(self._model.decode(latents))[0]
        return picture

    @property
    def prompt_hits(self) -> tuple[int, int]:
        """How often the embeddings of a prompt were at hand, and how often they were not."""
        info = self._embeds.cache_info()
        return info.hits, info.misses

    def _guidance(self, job: Job) -> float:
        return self._package.guidance_scale if job.guidance is None else job.guidance

    @torch.inference_mode()
    def _encode(self, prompt: str) -> PromptEmbeds:
        return self._model.encode_prompts([prompt])

    @torch.inference_mode()
    def _isolated(self) -> dict[str, Evaluate]:
        """By adapter: the velocity, in batches if they change no bit here."""
        isolate_rows(self._model.transformer, self.max_rows)
        made = {}
        for adapter in ("", *self._package.adapters):
            evaluate = velocity_of(self._model, adapter)
            together = changes_no_bit(evaluate, self._probe(self.max_rows))
            if not together:
                log.warning("on this processor batches change bits: pictures are evaluated one by one")
            made[adapter] = evaluate if together else in_chunks(evaluate, 1)
        return made

    @torch.inference_mode()
    def _captured(self) -> dict[str, Evaluate]:
        """By adapter: the velocity, its blocks compiled, with a CUDA graph for every size of batch."""
        transformer: Any = self._model.transformer
        transformer.compile_repeated_blocks(fullgraph=True)
        sizes, row = bucket_sizes(self.max_rows), self._probe(1)
        adapters = ("", *self._package.adapters)
        return {adapter: Buckets(velocity_of(self._model, adapter), sizes, row, cuda_graph) for adapter in adapters}

    def _probe(self, count: int) -> Rows:
        """Rows of different noise at different noise levels."""
        noise = initial_noise(range(count), self._model.latent_shape).to(self._device)
        sigma = torch.linspace(1, 0.1, count, device=noise.device)
        return Rows(noise, sigma, self._embeds("").repeat(count), torch.full_like(sigma, self._package.guidance_scale))


def _rows(sample: Sample) -> Rows:
    """One row a prompt, all at the picture's latents and noise level."""
    count = len(sample.prompts)
    latents = sample.latents.expand(count, *sample.latents.shape[1:])
    sigma = sample.sigmas[sample.step].expand(count)
    return Rows(latents, sigma, concatenated(sample.prompts), torch.full_like(sigma, sample.guidance))


def _advance(sample: Sample, velocity: Tensor) -> None:
    """One Euler step along the velocity[rows, ...] of the sample's rows, guided if there are two."""
    if len(velocity) == 2:
        conditional, unconditional = velocity.split(1)
        velocity = unconditional + sample.guidance * (conditional - unconditional)
    sigma, sigma_next = sample.sigmas[sample.step], sample.sigmas[sample.step + 1]
    sample.x0 = x0_from_velocity(sample.latents, velocity, sigma)
    sample.latents = euler_step(sample.latents, velocity, sigma, sigma_next)
    sample.step += 1
