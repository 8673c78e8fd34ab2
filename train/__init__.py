"""Training: data sources, sampling order, stages, optimiser, checkpoints and the `train` command.

Nothing in the library imports this package; it imports the library.
"""
