"""Methods side by side: the same steps as a pipeline run, for every method and seed of a suite, in one table."""
