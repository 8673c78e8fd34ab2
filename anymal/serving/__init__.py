"""A loaded bundle that answers, in this process or behind the service."""
