"""The paths of the service: what each accepts and returns."""
