"""What every request passes before it reaches a route: log, body limit, key, drain."""
