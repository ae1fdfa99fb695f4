"""What is adapted: the recursive model and its checkpoints."""
