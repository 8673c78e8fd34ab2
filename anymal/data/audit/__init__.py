"""Media that are in two data sets, also where they were re-encoded or resized."""
