"""Triton backends, each a folder that the supervisor copies into the backend directory."""
