"""What the rows of each published format mean: one file for each."""
