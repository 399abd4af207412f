"""Rewards that another process computes: what goes over the wire, who asks, and the reward that a recipe sees."""
