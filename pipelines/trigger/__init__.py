"""Starts one retraining for each new version of a registered reward model, told by MLflow or found by looking."""
