"""Reward models behind one protocol: images and prompts in, one number each out."""
