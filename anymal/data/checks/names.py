"""Files whose content is not what their name says: a PNG that is called .jpg, a page called .mp4.

Decoders look at the content alone, so such a file works here and may fail elsewhere. Does not
judge whether a file is whole.
"""

from pathlib import PurePosixPath

from anymal.data.checks.mistake import Mistake
from anymal.data.endings import ending_of_format, format_of_ending
from anymal.media.formats import detect
from anymal.media.source import Source


def name_mistake(source: Source) -> Mistake | None:
    """Compare the ending of a file's name with its content.

    Args:
        source: The file; a name without a known ending says nothing.

    Returns:
        The mistake; None where they agree.
    """
    ending = PurePosixPath(source.name).suffix
    expected = format_of_ending(ending)
    found = detect(source.data)
    if expected is None or not source.data or found.key == expected:
        return None
    return Mistake(
        kind="misnamed",
        reason=f"{source.name} is named {ending} and is {found.label}",
        change=f"name it {ending_of_format(found.key)}, or put the right file in its place",
    )
