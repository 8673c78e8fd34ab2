"""The request for the score of an answer, and its reply.

Does not send it (see `client.py`).
"""

from collections.abc import Sequence
from typing import Any

import httpx

from anymal.client.answer import refuse_unknown
from anymal.client.requests import (
    REQUEST_ID,
    Call,
    Messages,
    Sending,
    as_json,
    parse,
    plain,
)
from anymal.protocol.responses import ScoreReply


class ScoreOptions(Sending, total=False):
    """The options of `score`."""

    facts: Sequence[str]
    """What is known of the media, for a reward model that was taught with facts."""


def score_call(messages: Messages, options: ScoreOptions) -> Call:
    """The request for the score of the last message; raises what `chat_call` does."""
    refuse_unknown(options, ScoreOptions)
    fields: dict[str, Any] = {key: item for key, item in options.items() if item is not None}
    on_upload = fields.pop("on_upload", None)
    if "facts" in fields:
        fields["facts"] = list(fields["facts"])
    body = {"messages": plain(messages), **fields}
    return Call(path="v1/score", content=as_json(body), on_upload=on_upload)


def read_score(response: httpx.Response) -> ScoreReply:
    """How good the answer is."""
    return parse(ScoreReply, response.content, response.headers.get(REQUEST_ID))
