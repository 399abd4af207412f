"""RATS: Reward-Aware Trajectory Shaping, the method library."""
