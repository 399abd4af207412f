"""Where a process computes, and what it takes there."""

import resource

import torch


def accelerator() -> torch.device:
    """The accelerator if there is one, otherwise the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def peak_memory(device: torch.device) -> int:
    """Bytes that this process has held at most: of the accelerator's memory, or of the machine's without one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts kibibytes
