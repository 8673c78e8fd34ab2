"""Which media of a message were recorded at the same time, and when each of them begins.

Does not read media.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from anymal.protocol.media_url import Second
from anymal.protocol.sizes import MAX_NAME_CHARACTERS
from anymal.protocol.strict import Strict


class Group(Strict):
    """The clock that a medium is on, and where it begins there."""

    name: str = Field(
        min_length=1, max_length=MAX_NAME_CHARACTERS, description="media of one name share a clock"
    )
    start_s: Second = Field(0.0, description="when this medium begins on the clock")


def _bare_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


GroupRef = Annotated[Group, BeforeValidator(_bare_name, json_schema_input_type=Group | str)]
