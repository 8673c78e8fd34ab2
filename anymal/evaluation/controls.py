"""The same questions with other media: changed, left out, or swapped with another record's.

A model that looks and listens falls to chance on these; one that guesses from the question does
not. Does not generate or score; it only rewrites conversations, so that all controls pass through
the ordinary path.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from anymal.decoding.medium import decode_medium
from anymal.errors import DataError
from anymal.evaluation.neutral import neutral_part
from anymal.evaluation.scoring import Expected
from anymal.modality import MODALITIES, blank_part, find_modality, modality_of, read_medium
from anymal.processor import Processor
from anymal.protocol.conversation import MediaPart, PromptEmbedsPart, TextPart, read_conversation

Part = Mapping[str, Any]


def is_media(part: Part) -> bool:
    """Whether a part is anything but words."""
    return part.get("type") != "text"


def prompt_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """The conversation up to the question: the record without its answer and marks of training."""
    messages = [
        {name: value for name, value in message.items() if name != "loss"}
        for message in record["messages"]
    ]
    if messages and messages[-1]["role"] == "assistant":
        messages = messages[:-1]
    return {"messages": messages}


def media_of(conversation: Mapping[str, Any]) -> list[Part]:
    """The media parts of a conversation, in order."""
    return [
        part
        for message in conversation["messages"]
        if not isinstance(message["content"], str)
        for part in message["content"]
        if is_media(part)
    ]


def modality_of_part(part: Part) -> str:
    """The modality that a part carries, before it is validated."""
    kind = str(part["type"])
    if kind == "input_media":
        return str(part["input_media"]["modality"])
    return next((name for name, row in MODALITIES.items() if kind in row.part_types), kind)


def text_of(conversation: Mapping[str, Any]) -> str:
    """The words of a conversation, in order."""
    contents = [message["content"] for message in conversation["messages"]]
    texts = [
        [content]
        if isinstance(content, str)
        else [part["text"] for part in content if not is_media(part)]
        for content in contents
    ]
    return "\n".join(text for content in texts for text in content)


def with_media(conversation: Mapping[str, Any], media: Sequence[Part]) -> dict[str, Any]:
    """The conversation with its media parts replaced, in order; their places on a clock stay."""
    rest = iter(media)
    messages = [
        message
        if isinstance(message["content"], str)
        else {
            **message,
            "content": [
                _in_place_of(part, next(rest)) if is_media(part) else part
                for part in message["content"]
            ],
        }
        for message in conversation["messages"]
    ]
    assert next(rest, None) is None, f"{len(media)} media for fewer places"
    return {"messages": messages}


def _in_place_of(old: Part, new: Part) -> Part:
    """Another medium, on the clock of the one whose place it takes."""
    own = {key: value for key, value in new.items() if key != "group"}
    return own | ({"group": old["group"]} if "group" in old else {})


def without_medium(conversation: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The conversation with one of its media, counted from 0, left out."""
    places = count()
    messages = [
        message
        if isinstance(message["content"], str)
        else {
            **message,
            "content": [
                part for part in message["content"] if not is_media(part) or next(places) != number
            ]
            or "",
        }
        for message in conversation["messages"]
    ]
    return {"messages": messages}


def change_media(
    conversation: Mapping[str, Any],
    processor: Processor,
    change: Callable[[str, Any], Part],
    *,
    base_dir: Path | None,
) -> dict[str, Any]:
    """The conversation with media made from its own.

    Args:
        conversation: A conversation that the processor accepts.
        processor: The model's own: it decodes as the model does.
        change: From a modality and a signal of it to a part.
        base_dir: Folder that media paths are relative to.

    Returns:
        The conversation with new media as data.

    Raises:
        MediaError: A medium cannot be read or decoded.
        DataError: A kind of medium cannot be changed so.
    """
    signals = signals_of(conversation, processor, base_dir=base_dir)
    return with_media(conversation, [change(modality, signal) for modality, signal in signals])


def signals_of(
    conversation: Mapping[str, Any], processor: Processor, *, base_dir: Path | None
) -> list[tuple[str, Any]]:
    """The media of a conversation as the model receives them: each with its modality.

    Raises:
        MediaError: A medium cannot be read or decoded.
        DataError: A part holds soft tokens.
    """
    parts = [part for message in read_conversation(conversation).messages for part in message.parts]
    media = [part for part in parts if not isinstance(part, TextPart)]
    return [_signal(part, processor, base_dir) for part in media]


def blank(modality: str, signal: Any) -> Part:
    """A medium that says nothing, of the same kind, size and length; for `change_media`."""
    row = find_modality(modality)
    return neutral_part(signal) if row.part_types else blank_part(row)


def choose_donors(
    prompts: Sequence[Mapping[str, Any]], expected: Sequence[Expected]
) -> list[int | None]:
    """For each record, another one whose media it is asked about in the swapped control.

    The donor has the same kinds of media and another answer. One that was asked the same question
    is preferred, then one that was asked the same kind of question, because their answers compete.
    Deterministic, and each donor serves as few records as the answers allow.

    Args:
        prompts: Conversations without answers.
        expected: Their right answers.

    Returns:
        The donor's index for each record; None where no record qualifies.
    """
    donors: list[int | None] = [None] * len(prompts)
    kinds = [tuple(map(_kind, media_of(prompt))) for prompt in prompts]
    topics = [(kind, want.task, want.choices) for kind, want in zip(kinds, expected, strict=True)]
    texts = [(topic, text_of(prompt)) for topic, prompt in zip(topics, prompts, strict=True)]
    for keys in (texts, topics, kinds):
        groups: defaultdict[Any, list[int]] = defaultdict(list)
        for index, key in enumerate(keys):
            groups[key].append(index)
        for group in groups.values():
            for index, donor in _rotate(group, expected).items():
                if donors[index] is None and kinds[index]:
                    donors[index] = donor
    return donors


def _signal(
    part: MediaPart | PromptEmbedsPart, processor: Processor, base_dir: Path | None
) -> tuple[str, Any]:
    """The modality of a part, and what it decodes to."""
    if isinstance(part, PromptEmbedsPart):
        raise DataError(
            "prompt_embeds hold no medium that could be changed; evaluate with the medium itself"
        )
    name = modality_of(part)
    medium = read_medium(part, limits=processor.limits, base_dir=base_dir)
    preprocessor = processor.modalities[name].preprocessor
    return name, decode_medium(medium, preprocessor, modality=name, limits=processor.limits)


def _kind(part: Part) -> str:
    """What a medium may be swapped for: others of its part type, and of its modality."""
    is_foreign = part["type"] == "input_media"
    return str(part["input_media"]["modality"] if is_foreign else part["type"])


def _rotate(group: Sequence[int], expected: Sequence[Expected]) -> dict[int, int]:
    """Pair each member with one of another answer, where there is any."""
    own = {index: (expected[index].answer, expected[index].references) for index in group}
    ordered = sorted(group, key=lambda index: (own[index], index))
    answers = [own[index] for index in ordered]
    # Sorted by answer, a turn by the largest class moves every member out of its own class,
    # unless that class holds more than half; those go on to the next member of another class.
    step = max(answers.count(answer) for answer in set(answers))
    donors = {}
    for place, index in enumerate(ordered):
        turns = ((place + step + more) % len(ordered) for more in range(len(ordered)))
        donor = next((turn for turn in turns if answers[turn] != answers[place]), None)
        if donor is not None:
            donors[index] = ordered[donor]
    return donors
