"""How each recursion step is adapted."""
