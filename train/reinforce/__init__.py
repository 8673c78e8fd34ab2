"""Learning from rewards: the model answers, the answers are graded, and it learns from them."""
