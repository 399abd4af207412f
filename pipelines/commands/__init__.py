"""The groups of commands of `rats`, a file each; what they do lies elsewhere."""
