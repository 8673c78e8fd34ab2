"""A recipe tried with small random stand-ins for its checkpoints and data."""
