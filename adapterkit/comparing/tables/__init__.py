"""The parameter-efficiency table: one a task, one row a plan, in several formats."""
