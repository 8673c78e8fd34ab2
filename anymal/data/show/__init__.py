"""One row as a person can look at it: its words, what is learnt of them, and its media."""
