"""The frozen language model: load, quantise, run packed rows, score."""
