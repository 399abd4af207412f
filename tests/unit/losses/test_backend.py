"""Who computes the loss: the device decides, and a person may."""

import pytest
import torch

from rats_train.errors import UserError
from rats_train.losses import backend
from rats_train.losses import horizon as losses
from rats_train.losses.backend import choose_backend
from rats_train.losses.kernels import horizon as kernel

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def gpu(monkeypatch):
    """A function that makes the GPU one of a compute capability, or of ROCm."""
    monkeypatch.delenv("RATS_KERNELS", raising=False)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)

    def set_capability(major: int, minor: int, hip: str | None = None) -> None:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (major, minor))
        monkeypatch.setattr(torch.version, "hip", hip)

    set_capability(9, 0)
    return set_capability


def test_the_device_decides(gpu) -> None:
    assert choose_backend(GPU) == "triton"
    assert choose_backend(CPU) == "torch"
    assert choose_backend(torch.device("mps")) == "torch"


def test_old_gpus_use_torch_and_rocm_counts_otherwise(gpu) -> None:
    gpu(7, 5)
    assert choose_backend(GPU) == "torch"
    gpu(7, 5, hip="6.4")
    assert choose_backend(GPU) == "triton"


def test_without_triton_torch_is_left(gpu, monkeypatch) -> None:
    monkeypatch.setattr(backend, "_HAS_TRITON", False)
    assert choose_backend(GPU) == "torch"
    monkeypatch.setenv("RATS_KERNELS", "triton")
    with pytest.raises(UserError, match=r"triton is not installed \(pip install 'rats-train\[gpu\]'\)"):
        choose_backend(GPU)


def test_a_person_decides_instead(gpu, monkeypatch) -> None:
    monkeypatch.setenv("RATS_KERNELS", "torch")
    assert choose_backend(GPU) == "torch"
    monkeypatch.setenv("RATS_KERNELS", "triton")
    assert choose_backend(GPU) == "triton"
    with pytest.raises(UserError, match="latents are on cpu, and Triton needs a CUDA or ROCm GPU; write RATS_KERN"):
        choose_backend(CPU)
    gpu(7, 5)
    with pytest.raises(UserError, match=r"compute capability 7\.5, and Triton needs 8.0 or more"):
        choose_backend(GPU)
    monkeypatch.setenv("RATS_KERNELS", "cuda")
    with pytest.raises(UserError, match="RATS_KERNELS is 'cuda'; write torch or triton, or unset it"):
        choose_backend(CPU)


@pytest.mark.parametrize(("word", "count"), [("torch", 0), ("triton", 1), (None, 0)])
def test_the_loss_goes_where_it_is_sent(monkeypatch, word: str | None, count: int) -> None:
    calls = []
    monkeypatch.setattr(kernel, "gated_horizon_loss", lambda *_, **__: calls.append(1) or (1, 2, 3))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setenv("RATS_KERNELS", word or "")
    losses.gated_horizon_loss(torch.rand(1, 2, 3), torch.rand(1, 2, 3), torch.ones(1), torch.ones(1), 0.1, 1, 1)
    assert len(calls) == count
