"""Where a process computes."""

import torch


def accelerator() -> torch.device:
    """The accelerator if there is one, otherwise the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
