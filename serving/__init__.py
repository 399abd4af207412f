"""Packaging and serving of few-step students."""
