"""Features of frozen encoders, kept on disk and memory-mapped."""
