"""Losses as fused kernels for GPUs, each with the signature of its reference; imports torch and triton alone."""
