"""Say how a retraining ended."""
