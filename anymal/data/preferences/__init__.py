"""Pairs of a chosen and a rejected answer, made of several answers to a question."""
