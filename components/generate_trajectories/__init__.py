"""Roll the teacher out into a trajectory store."""
