"""What a published chat template writes; it may be a stranger's, and runs within limits.

Does not tokenise, and does not know what answers are made of (`anymal.chat.jinja`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from anymal.chat.jinja import SETTINGS
from anymal.chat.template_process import BoundedTemplate
from anymal.errors import BundleError, ConversationError
from anymal.published.probe import Probe, two_turns


def chat_template_of(processor: Any) -> str:
    """The chat template of a processor, in Jinja, or else of its tokeniser.

    Raises:
        BundleError: There is none.
    """
    found = processor.chat_template or processor.tokenizer.chat_template
    source = found.get("default") if isinstance(found, dict) else found
    if not source:
        raise BundleError(
            "the checkpoint has no chat template, so that nothing says how conversations are "
            "written; add its chat_template.jinja"
        )
    return str(source)


def rendered(processor: Any, probe: Probe, *, generate: bool) -> str:
    """What a chat template writes, in a process with limits: it may be a stranger's.

    Args:
        processor: With a chat template.
        probe: The conversation.
        generate: Whether to end with the opening of an answer.

    Raises:
        ConversationError: The template refuses the conversation, or is beyond a limit.
    """
    return written(processor, probe.messages(), generate=generate)


def written(processor: Any, messages: Sequence[Mapping[str, Any]], *, generate: bool) -> str:
    """`rendered`, of any messages."""
    variables = json.dumps({**processor.tokenizer.special_tokens_map, **SETTINGS})
    template = _template(chat_template_of(processor), variables)
    return template.write(messages, add_generation_prompt=generate)


# The same each time, because it remembers what it wrote, and that it went beyond a limit.
@lru_cache(maxsize=8)
def _template(source: str, variables: str) -> BoundedTemplate:
    """A chat template and the variables that it sees, in JSON."""
    return BoundedTemplate(source, json.loads(variables))


def moves(processor: Any, modality: str) -> bool | None:
    """Whether a chat template writes media before words that came before them in a message.

    Args:
        processor: With a chat template.
        modality: Of the media.

    Returns:
        None if it writes nothing for such media, or refuses them.
    """
    media_last = two_turns(modality, is_reversed=True)
    try:
        last, first, without = (
            rendered(processor, probe, generate=False)
            for probe in (media_last, two_turns(modality), replace(media_last, media=()))
        )
        return None if first == without else first == last
    except ConversationError:  # it takes no such part
        return None
