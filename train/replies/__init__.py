"""Text-only records by the base model itself, so that it keeps talking while it learns to see."""
