"""Encoders of six-axis motion."""
