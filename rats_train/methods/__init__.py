"""Training methods: each a class with named roles, a step, and nothing of the machine it runs on."""
