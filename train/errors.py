"""The error of a run that cannot start, continue or finish.

Errors of recipes and data are the library's own (see `anymal.errors`).
"""

from anymal.errors import AnymalError


class TrainingError(AnymalError):
    """A run that cannot go on: its folder is taken, its checkpoint does not fit, its loss broke."""
