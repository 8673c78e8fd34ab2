"""System text for templates that have no place for it: it opens the first user turn.

Does not find out which templates those are; `anymal.chat.jinja` does.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

from anymal.chat.segments import Segment, Turn, markup

logger = logging.getLogger(__name__)


class SystemFolder:
    """Puts what opens a conversation into the turn after it; says so once."""

    def __init__(self) -> None:
        self._has_told = False

    def __call__(self, turns: Sequence[Turn]) -> Sequence[Turn]:
        """Fold the system turns at the beginning into the user's first.

        Args:
            turns: A conversation.

        Returns:
            The conversation without them, their contents in order and a blank line before what the
            user says; the same conversation if no user's turn follows them.
        """
        system = list(takewhile(lambda turn: turn.role == "system", turns))
        rest = turns[len(system) :]
        if not system or not rest or rest[0].role != "user":
            return turns
        if not self._has_told:
            self._has_told = True
            logger.warning(
                "the model's chat template takes no system message; the system text is written at "
                "the beginning of the first user message"
            )
        content: list[Segment] = []
        for turn in system:
            content += *turn.content, markup("\n\n")
        return [replace(rest[0], content=(*content, *rest[0].content)), *rest[1:]]
