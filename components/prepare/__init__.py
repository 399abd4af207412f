"""Resolve the recipe and compute content keys."""
