"""Which recursion steps matter: a run without what learned at a step, and two runs mixed."""
