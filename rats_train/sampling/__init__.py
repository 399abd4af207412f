"""Sampling as pure functions. Sigma runs 1 -> 0, x_sigma = (1 - sigma) x0 + sigma eps, velocity v = eps - x0."""
