"""Ways to corrupt media, signals in and signals of the same kind out: one file for each idea."""
