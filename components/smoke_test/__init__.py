"""Serve the package and compare its pixels."""
