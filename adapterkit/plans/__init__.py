"""How each recursion step is adapted: plans, applying them, and the ledger."""
