"""Package and sign the student for Triton."""
