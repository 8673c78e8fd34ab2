"""Token ids to text while they arrive: whole characters only, and stop strings held back.

Does not generate and does not know where one id ends the answer; that is the decoder's.
"""

from collections.abc import Callable, Sequence

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class Detokeniser:
    """Turns ids into text such that the pieces join to the text of all ids.

    A character may be spread over several tokens, and a tokeniser may treat the first token of
    a text differently (the leading space), so each piece is the difference between two decodings
    of a short window that starts at a whole character.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._window: list[int] = []
        self._num_said = 0  # ids at the start of the window whose text is already given out

    def push(self, token: int) -> str:
        """Add one id; returns the text that became certain, often empty."""
        self._window.append(token)
        return self._advance(is_last=False)

    def flush(self) -> str:
        """Give out what is left, an unfinished character as the replacement character."""
        return self._advance(is_last=True)

    def _advance(self, *, is_last: bool) -> str:
        said = self._decode(self._window[: self._num_said])
        text = self._decode(self._window)
        if not is_last and (len(text) <= len(said) or text.endswith(_REPLACEMENT)):
            return ""
        self._window = self._window[self._num_said :]
        self._num_said = len(self._window)
        return text[len(said) :]


class StopStrings:
    """Lets text through until a stop string begins."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(stop)
        self._held = ""
        self.has_stopped = False

    def push(self, text: str) -> str:
        """Add text; returns what can no longer be part of a stop string."""
        if self.has_stopped:
            return ""
        self._held += text
        found = [at for stop in self._stop if (at := self._held.find(stop)) >= 0]
        if found:
            self.has_stopped = True
            said, self._held = self._held[: min(found)], ""
            return said
        cut = len(self._held) - self._num_undecided()
        said, self._held = self._held[:cut], self._held[cut:]
        return said

    def flush(self) -> str:
        """Give out what was held: the answer ended without the stop string."""
        said, self._held = self._held, ""
        return said

    def _num_undecided(self) -> int:
        """Length of the longest end of the held text with which a stop string begins."""
        longest = max((len(stop) for stop in self._stop), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stop):
                return length
        return 0


class AnswerText:
    """Ids to the text of an answer.

    White space before the first word and after the last belongs to the template, and is left out.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: Sequence[str]) -> None:
        self._pieces = Detokeniser(decode)
        self._stops = StopStrings(stop)
        self._has_begun = False
        self._space = ""

    @property
    def has_stopped(self) -> bool:
        """Whether a stop string ended the answer."""
        return self._stops.has_stopped

    def push(self, token: int) -> str:
        """Add one id; returns the text that became certain, often empty."""
        text = self._without_opening_space(self._pieces.push(token))
        return self._without_closing_space(self._stops.push(text))

    def flush(self) -> str:
        """Give out what is left."""
        rest = self._without_opening_space(self._pieces.flush())
        return self._without_closing_space(self._stops.push(rest) + self._stops.flush())

    def _without_opening_space(self, text: str) -> str:
        if not self._has_begun:
            text = text.lstrip()
            self._has_begun = bool(text)
        return text

    def _without_closing_space(self, text: str) -> str:
        """Hold white space back until a word or a stop string follows it."""
        text = self._space + text
        said = text if self.has_stopped else text.rstrip()
        self._space = text[len(said) :]
        return said
