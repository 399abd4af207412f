"""Training on one or many ranks: launch, steps, checkpoints, records. It knows no method."""
