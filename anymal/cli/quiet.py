"""Keeps libraries' notes on loading out of what a command prints.

Does not touch what this project logs.
"""

import os


def quieten() -> None:
    """Let transformers tell of errors alone, unless the user chose otherwise."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
