"""What a recipe will cost, before it runs: time, memory, and what is reused."""
