"""Pipelines, local runner and the `rats` command line."""
