"""Layers that read media which stand in no position of the row."""
