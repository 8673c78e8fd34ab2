"""Decoding in processes of its own, which can be bounded and ended; no sandbox for hostile code."""
