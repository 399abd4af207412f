"""Judge student and teacher on held-out prompts."""
