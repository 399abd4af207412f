"""Student against teacher over the same held-out prompts and seeds: pictures, intervals, verdict, report."""
