"""The `anymal` command."""
