"""Packaged recipes: `load_recipe("emoji")` reads emoji.yaml from this folder."""
