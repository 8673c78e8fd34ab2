"""A film and its sound track from one part: two media of one file, on one clock.

Does not read the file.
"""

import hashlib

from anymal.protocol.conversation import AudioUrlPart, MediaPart, VideoPart
from anymal.protocol.group import Group
from anymal.protocol.media_url import MediaUrl


def with_sound(part: MediaPart) -> list[MediaPart]:
    """A part as the media that it stands for.

    Args:
        part: Any; only a film may ask for its sound.

    Returns:
        The part alone; or the film and its sound, in the group that the part names, else in one of
        their own.
    """
    if not isinstance(part, VideoPart) or not part.video_url.sound:
        return [part]
    url = part.video_url.url
    own = Group(name=f"film {hashlib.sha256(url.encode()).hexdigest()}")
    group = part.group or own
    pictures = part.video_url.model_copy(update={"sound": None})
    film = part.model_copy(update={"video_url": pictures, "group": group})
    return [film, AudioUrlPart(audio_url=MediaUrl(url=url), group=group)]
