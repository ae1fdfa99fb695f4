"""How sure a difference between two rows is; NumPy alone."""
