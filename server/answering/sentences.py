"""Cuts a growing answer into sentences.

Does not judge them; nothing is lost or changed, so the sentences join to the answer.
"""

import re

# A mark that ends a sentence, perhaps quoted, and the white space after it; or a line break.
_END = re.compile(r"""[.!?]+["')\]]*\s+|\n+""")
# Text that never ends its sentence is cut at a space, or else here.
_LONGEST = 400


class Sentences:
    """Holds back what is not yet a whole sentence."""

    def __init__(self) -> None:
        self._held = ""

    def add(self, text: str) -> list[str]:
        """Take the next piece.

        Args:
            text: The next text of the answer.

        Returns:
            The sentences that are whole now, with their white space.
        """
        self._held += text
        sentences = []
        while (end := self._end()) is not None:
            sentences.append(self._held[:end])
            self._held = self._held[end:]
        return sentences

    def rest(self) -> str:
        """Return what is left when the answer has ended."""
        rest, self._held = self._held, ""
        return rest

    def _end(self) -> int | None:
        """Where the first whole sentence ends."""
        found = _END.search(self._held)
        # White space at the very end may go on in the next piece; it is cheap to wait for.
        if found is not None and found.end() < len(self._held):
            return found.end()
        if len(self._held) > _LONGEST:
            return self._held.rfind(" ", 0, _LONGEST) + 1 or _LONGEST
        return None
