"""The file of keys: names, salted hashes and rights; never a key itself.

Does not compare keys with requests; `keys` does.
"""

import hashlib
import json
import secrets
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from anymal.durable import write_file
from anymal.errors import AnymalError
from anymal.protocol.explain import explain

PREFIX = "anymal-"
_KEY_BYTES = 32
_SALT_BYTES = 16
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class KeyEntry(BaseModel):
    """One key.

    One round of SHA-256 is enough: slow hashes protect what people think up, and a key is 32
    random bytes, which cannot be guessed at any speed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=_NAME, description="as logs and limits show it")
    salt: str = Field(pattern=r"^[0-9a-f]{32}$", description="16 random bytes, as hex")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the salt and then the key")
    is_admin: bool = Field(False, description="may use /admin and /metrics")
    may_send_embeds: bool = Field(False, description="may send prompt_embeds")
    requests_per_minute: float | None = Field(None, gt=0, allow_inf_nan=False)
    max_concurrent: int | None = Field(None, ge=1)
    group: str | None = Field(
        None, pattern=_NAME, description="keys of one group share the caches of prompts and media"
    )


class _KeyFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: list[KeyEntry]


def new_key() -> str:
    """A key that was never given out before."""
    return PREFIX + secrets.token_urlsafe(_KEY_BYTES)


def new_salt() -> bytes:
    """A salt for one key."""
    return secrets.token_bytes(_SALT_BYTES)


def digest_of(key: str, salt: bytes) -> bytes:
    """What is stored in a key's place."""
    return hashlib.sha256(salt + key.encode()).digest()


def read_key_file(path: Path) -> list[KeyEntry]:
    """Read the entries.

    Raises:
        AnymalError: If the file cannot be read, an entry is not one, or two share a name.
    """
    try:
        given = json.loads(path.read_bytes())
        entries = _KeyFile.model_validate(given).keys
    except OSError as error:
        raise AnymalError(
            f"the keys file {path} cannot be read ({error.strerror}); "
            "make one with: anymal keys new NAME"
        ) from error
    except ValidationError as error:
        raise AnymalError(f"{path}: {explain(error.errors(), given).message}") from error
    except ValueError as error:
        raise AnymalError(f"{path} is not JSON: {error}") from error
    names = [entry.name for entry in entries]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise AnymalError(f"{path}: names {twice} stand there twice; rename or remove one")
    return entries


def write_key_file(path: Path, entries: Sequence[KeyEntry]) -> None:
    """Replace the file at once, so that a service never reads half of it; only its owner may read.

    Raises:
        AnymalError: If it cannot be written.
    """
    content = _KeyFile(keys=list(entries)).model_dump(exclude_defaults=True)
    try:
        with write_file(path, mode=0o600) as file:
            file.write(json.dumps(content, indent=2).encode("ascii") + b"\n")
    except OSError as error:
        raise AnymalError(f"the keys file {path} cannot be written: {error.strerror}") from error
