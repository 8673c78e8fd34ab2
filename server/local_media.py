"""Media from a folder of this machine, for services that allow it.

Does not decode media and follows no link out of the folder.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from anymal.errors import MediaError, MediaForbidden
from anymal.media.limits import Limits
from anymal.media.source import read_source, shorten
from anymal.protocol.conversation import Conversation, data_url
from server.media_urls import media_urls, with_urls

_ACCEPTED = "a file: URL inside the folder that this service allows, or a base64 data URL"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalMedia:
    """Reads the files of a folder.

    Attributes:
        folder: The folder; its own subfolders are allowed too.
        max_bytes: Most bytes of all media of a conversation together.
    """

    folder: Path
    max_bytes: int = Limits().max_bytes

    def inline(self, conversation: Conversation) -> Conversation:
        """Bring the local media of a conversation into it; blocks.

        Args:
            conversation: Perhaps with `file:` URLs.

        Returns:
            The same, with data URLs in their place.

        Raises:
            MediaForbidden: A file that is not inside the folder.
            MediaNotFound: No such file.
            MediaTooLarge: More bytes than accepted.
        """
        found: dict[str, str] = {}
        left = self.max_bytes
        for url, place in media_urls(conversation, {"file"}).items():
            try:
                data = self._read(url, max_bytes=left)
            except MediaError as error:
                error.place = place
                raise
            left -= len(data)
            found[url] = data_url(data)
        return with_urls(conversation, found) if found else conversation

    def _read(self, url: str, *, max_bytes: int) -> bytes:
        name = shorten(url)
        try:
            target = urlsplit(url.strip())
        except ValueError:
            raise MediaForbidden(name, "a URL that cannot be read", _ACCEPTED) from None
        if target.netloc not in ("", "localhost") or target.query or target.fragment:
            raise MediaForbidden(name, "a file URL with more than a path", _ACCEPTED)
        try:
            limits = Limits(max_bytes=max_bytes)
            path = unquote(target.path)
            return read_source(path, limits=limits, base_dir=self.folder, name=name).data
        except MediaForbidden:  # whose words name the folder
            raise MediaForbidden(name, "a path outside the folder", _ACCEPTED) from None
