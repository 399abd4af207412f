"""Train the few-step student."""
