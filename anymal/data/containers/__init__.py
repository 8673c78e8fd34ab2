"""Files as raw rows, whatever the rows mean."""
