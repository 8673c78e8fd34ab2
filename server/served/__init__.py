"""The models that the service holds, loads and drops."""
