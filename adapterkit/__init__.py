"""adapterkit: adapt compact recursive language models, one recursion step at a time."""
