"""The trajectory store: teacher rollouts that are made once, verified on reading, and trained on many times."""
