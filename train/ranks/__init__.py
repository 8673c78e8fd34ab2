"""Several processes that train one run together, started by torchrun."""
