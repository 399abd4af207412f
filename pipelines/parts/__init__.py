"""What several pipelines are made of."""
