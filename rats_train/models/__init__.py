"""Model families behind one protocol: encode prompts, predict the velocity, decode latents. One file a family."""
