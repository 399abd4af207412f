"""What draws: a loop that takes one denoising step for many pictures at once."""
