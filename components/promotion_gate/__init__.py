"""Decide whether the student may serve."""
