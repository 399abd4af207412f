"""Losses as pure functions of tensors: B batch, H horizons."""
