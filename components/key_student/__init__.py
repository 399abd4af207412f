"""The key of an evaluation of any student."""
