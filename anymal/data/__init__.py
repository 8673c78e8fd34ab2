"""Data sets as others publish them, read row by row as conversations."""
