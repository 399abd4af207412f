"""What is wrong with this machine or with a run, in words, and the cure."""
