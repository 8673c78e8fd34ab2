"""Public benchmarks, read from their official files in a local folder."""
