"""Frozen encoders run once over a recipe's media; features kept."""
