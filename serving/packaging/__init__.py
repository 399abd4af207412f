"""Making packages: needs torch, to draw the canary, and the private key."""
