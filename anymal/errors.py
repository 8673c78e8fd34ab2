"""The tree of errors that a user can cause and can fix.

Each error carries what was given, what is allowed and what to do next, as words of bounded length.
It holds no other logic.

    AnymalError (ValueError)
    |-- MediaError              .source .found .accepted
    |   |-- MediaNotFound         no such file, not a file, not readable
    |   |-- MediaForbidden        remote URL, path outside its folder
    |   |-- MediaEmpty            no bytes, no frames, no samples
    |   |-- MediaUnsupported      a kind of file, layout or option that is not accepted
    |   |-- MediaCorrupt          the right kind of file, but broken, cut short or not finite
    |   `-- MediaTooLarge         more bytes, pixels, frames or seconds than the limits allow
    |-- RecipeError             a recipe that cannot be read or does not fit together
    |-- ConversationError       messages that the processor refuses
    |   `-- TooLong               more tokens than the model accepts
    |-- BundleError             a bundle that is missing, damaged or does not match
    |-- DataError               a manifest, a data source or one of its records
    `-- EngineError             a request that the engine cannot take or finish
"""

# Of a message, which may quote what a stranger wrote; the end says what to do next.
_MOST_CHARACTERS, _END_CHARACTERS = 1000, 400


class AnymalError(ValueError):
    """A user's mistake: its message says what was given, what is allowed and what to do next.

    Attributes:
        place: Where in a conversation it was found, such as `messages.0.content.2`; None where that
            is not known.
    """

    place: str | None = None

    def __str__(self) -> str:
        """The words; see `bounded`."""
        return bounded(super().__str__())


class MediaError(AnymalError):
    """Media that cannot be used.

    Attributes:
        source: Name of the file or part at fault.
        found: What was found there.
        accepted: What would have been accepted instead, or what to do.
    """

    def __init__(self, source: str, found: str, accepted: str) -> None:
        """Keeps the three parts; they are positional so that the error survives pickling."""
        super().__init__(source, found, accepted)
        self.source = source
        self.found = found
        self.accepted = accepted

    def __str__(self) -> str:
        """One line: who, what was found, what is accepted."""
        return bounded(f"{self.source}: found {self.found}; accepted: {self.accepted}")


class MediaNotFound(MediaError):
    """No such file, not a file, or not readable."""


class MediaForbidden(MediaError):
    """A place that media is never read from: a remote URL, a path outside its folder."""


class MediaEmpty(MediaError):
    """Nothing to decode: no bytes, no frames, no samples."""


class MediaUnsupported(MediaError):
    """A kind of file, a layout or an option that is not accepted here."""


class MediaCorrupt(MediaError):
    """The right kind of file, but broken, cut short, or with impossible values."""


class MediaTooLarge(MediaError):
    """More bytes, pixels, frames or seconds than the limits allow."""


class RecipeError(AnymalError):
    """A recipe that cannot be read or whose parts do not fit together."""


class ConversationError(AnymalError):
    """Messages that the processor refuses."""


class TooLong(ConversationError):
    """A conversation with more tokens than the model accepts."""


class BundleError(AnymalError):
    """A bundle that is missing, damaged, or does not match what it is used with."""


class DataError(AnymalError):
    """A manifest, a data source, or one of its records."""


class EngineError(AnymalError):
    """A request that the engine cannot take or finish."""


def bounded(text: str) -> str:
    """Words that may quote what a stranger wrote; of very many, the middle is left out."""
    if len(text) <= _MOST_CHARACTERS:
        return text
    return f"{text[: _MOST_CHARACTERS - _END_CHARACTERS - 5]} ... {text[-_END_CHARACTERS:]}"
