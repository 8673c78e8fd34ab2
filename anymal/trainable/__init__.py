"""Which weights of a model train: rules, and the names that they match."""
