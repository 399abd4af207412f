"""The Triton server: its process, what keeps it alive, and asking it for pictures."""
