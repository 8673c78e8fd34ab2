"""What a YAML recipe may say, and how it is read."""
