"""The `fewstep` backend: `model.py` is loaded by Triton's Python stub."""
