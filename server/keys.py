"""Who calls: keys, hashed at rest, and what their holders may do.

Does not know HTTP and does not count requests.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sent a request.

    Attributes:
        name: The key's name, as logs and limits know it.
        is_admin: May use `/admin` and `/metrics`.
        may_send_embeds: May send embeddings of its own as part of a prompt.
    """

    name: str
    is_admin: bool = False
    may_send_embeds: bool = False


ANONYMOUS = Caller(name="anonymous")
