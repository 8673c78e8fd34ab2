"""Who will be able to ask, seen before the service starts: nobody beyond this machine by accident.

Does not check requests; `server.edge` does.
"""

import logging
from collections.abc import Callable
from ipaddress import ip_address

from pydantic import SecretStr

from anymal.errors import AnymalError
from server.edge.key_file import new_key
from server.edge.same_site import is_address
from server.settings import Settings

logger = logging.getLogger(__name__)

_SHORT = 16  # characters; a key is never refused, so only its length ends a search for it


def with_key(settings: Settings, *, show: Callable[[str], None]) -> Settings:
    """The settings with a new key, where one is wanted and none is set.

    Args:
        settings: How the service is to run.
        show: Tells the operator a line; the log never holds a key.

    Returns:
        The settings to use. A generated key is stored nowhere: each start makes another.
    """
    if not settings.generate_key or settings.open or _has_keys(settings):
        return settings
    key = new_key()
    show(
        f"API key until the next start: {key} "
        "(set ANYMAL_API_KEY or ANYMAL_KEYS_FILE to keep one, or ANYMAL_OPEN=1 to need none)"
    )
    return settings.model_copy(update={"api_key": SecretStr(key)})


def check_exposure(settings: Settings) -> None:
    """Refuse to listen for other machines without keys, unless that was asked for.

    Raises:
        AnymalError: If everybody in the network could ask.
    """
    if settings.open or _has_keys(settings) or _is_loopback(settings.host):
        return
    raise AnymalError(
        f"with --host {settings.host} other machines can ask, and no keys are set; make some "
        "(anymal keys new NAME, then --keys-file keys.json), or let everybody ask with --open"
    )


def tell_of_short_keys(settings: Settings) -> None:
    """Log a line for each key that was chosen so short that it may be guessed."""
    for name in ("api_key", "admin_key"):
        key: SecretStr | None = getattr(settings, name)
        if key is not None and len(key.get_secret_value()) < _SHORT:
            logger.warning(
                "%s has fewer than %d characters and may be guessed; make a longer one, such as "
                "with: anymal keys new NAME",
                name,
                _SHORT,
            )


def _has_keys(settings: Settings) -> bool:
    keys = (settings.api_key, settings.admin_key, settings.keys_file)
    return any(key is not None for key in keys)


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (is_address(host) and ip_address(host).is_loopback)
