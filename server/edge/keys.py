"""Who calls: keys, hashed at rest, and what their holders may do.

Does not know HTTP and counts no requests.
"""

import hmac
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from anymal.errors import AnymalError
from server.edge.key_file import KeyEntry, digest_of, new_salt, read_key_file

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sent a request.

    Attributes:
        name: The key's name, as logs and limits know it.
        is_admin: May use `/admin` and `/metrics`.
        may_send_embeds: May send embeddings of its own as part of a prompt.
        requests_per_minute: How many requests it may send; None sets no limit.
        max_concurrent: How many of its answers may be in progress; None sets no limit.
        group: Callers of one group find each other's prompts and media in the caches.
    """

    name: str
    is_admin: bool = False
    may_send_embeds: bool = False
    requests_per_minute: float | None = None
    max_concurrent: int | None = None
    group: str | None = None

    @property
    def scope(self) -> str:
        """Within which what was computed for it is found again."""
        return f"key {self.name}" if self.group is None else f"group {self.group}"


ANONYMOUS = Caller(name="anonymous")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lock:
    """A hashed key and whom it lets in."""

    salt: bytes
    digest: bytes
    caller: Caller


class Keyring:
    """All keys of a service."""

    def __init__(
        self,
        *,
        api_key: str | None = None,
        admin_key: str | None = None,
        path: Path | None = None,
    ) -> None:
        """Takes the keys.

        Args:
            api_key: One key that may ask.
            admin_key: One key that may do everything.
            path: A file of keys. It is read again when it changes, so that a key can be taken
                back without a restart.

        Raises:
            AnymalError: If the file cannot be read.
        """
        self.is_open = api_key is None and path is None
        self._own = [
            *_locks_of(api_key, Caller(name="api-key")),
            *_locks_of(admin_key, Caller(name="admin", is_admin=True, may_send_embeds=True)),
        ]
        self._path = path
        self._state = _state_of(path)
        self._listed = [] if path is None else _locks(read_key_file(path))

    @property
    def is_bare(self) -> bool:
        """Whether there is no key at all, not even an administrator's."""
        return self.is_open and not self._own

    @property
    def has_several(self) -> bool:
        """Whether there can be more than one caller."""
        return len(self._own) + len(self._listed) + self.is_open > 1

    def find(self, key: str) -> Caller | None:
        """Who holds a key.

        Every stored key is compared, and each in constant time: the time it takes shows neither
        which key was nearly right nor how much of it was.

        Args:
            key: What the request carried.

        Returns:
            The caller; None where no key fits.
        """
        self._reread()
        found = None
        for lock in (*self._own, *self._listed):
            if hmac.compare_digest(digest_of(key, lock.salt), lock.digest):
                found = lock.caller
        return found

    def _reread(self) -> None:
        """Read the file again if it changed; a broken one is logged once and changes no keys."""
        state = _state_of(self._path)
        if self._path is None or state == self._state:
            return
        self._state = state
        try:
            self._listed = _locks(read_key_file(self._path))
        except AnymalError as error:
            logger.error("keys were not changed: %s", error)
        else:
            logger.info("read %d keys again", len(self._listed))


def _locks(entries: Sequence[KeyEntry]) -> list[_Lock]:
    return [
        _Lock(
            salt=bytes.fromhex(entry.salt),
            digest=bytes.fromhex(entry.sha256),
            caller=Caller(
                name=entry.name,
                is_admin=entry.is_admin,
                may_send_embeds=entry.may_send_embeds,
                requests_per_minute=entry.requests_per_minute,
                max_concurrent=entry.max_concurrent,
                group=entry.group,
            ),
        )
        for entry in entries
    ]


def _locks_of(key: str | None, caller: Caller) -> list[_Lock]:
    """The lock of a key that is given in the clear."""
    if key is None:
        return []
    salt = new_salt()
    return [_Lock(salt=salt, digest=digest_of(key, salt), caller=caller)]


def _state_of(path: Path | None) -> tuple[int, ...] | None:
    """What changes when a file does; None where there is none."""
    try:
        found = None if path is None else path.stat()
    except OSError:
        return None
    return None if found is None else (found.st_mtime_ns, found.st_size, found.st_ino)
