"""Records with a chosen and a rejected answer, and the samples that a preference loss compares.

Does not compute a loss (see `anymal.objectives.preference`).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anymal.decoding.medium import Decode
from anymal.errors import DataError
from anymal.media.corrupt import Corruption
from anymal.media.limits import Limits
from anymal.modality import Medium
from anymal.objectives.changed import changed_tokens, weights_of
from anymal.objectives.terms import ANSWERS
from anymal.processor import Processor
from anymal.protocol.conversation import Conversation
from anymal.recipe.objective import PreferenceRecipe
from anymal.sample import IGNORED, PairPart, Sample
from train.data.records import check_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One record.

    Attributes:
        conversations: By answer, the question with that answer; nothing else of it is learnt.
        numbers: Of its `meta`, those that terms name.
        seed: Of what is done to its media: SHA-256 of its words and of where its media are.
    """

    conversations: Mapping[str, Conversation]
    numbers: Mapping[str, float]
    seed: str


def check_pair(
    record: object, *, where: str, base_dir: Path | None, numbers: Sequence[str] = ()
) -> Pair:
    """Check what can be checked without decoding, as `train.data.records.check_record` does.

    Args:
        record: `messages` up to the question, `chosen` and `rejected` as words, and perhaps `id`
            and `meta`.
        where: Names the record in errors.
        base_dir: Folder that media paths are relative to; None leaves paths unchecked.
        numbers: Keys of `meta` that have to be numbers.

    Raises:
        DataError: Starts with `where`, then says what is wrong and what is expected.
    """
    if not isinstance(record, Mapping):
        raise DataError(f"{where}: a record is an object, not {type(record).__name__}")
    answers = {name: _words(record, name, where=where) for name in ANSWERS}
    if len(set(answers.values())) < len(answers):
        raise DataError(
            f"{where}: {' and '.join(ANSWERS)} are the same words, so there is no preference to "
            "learn; remove the record"
        )
    asked = _question(record, where=where)
    others = {key: value for key, value in record.items() if key not in ANSWERS}
    conversations = {
        name: check_record(
            {**others, "messages": [*asked, {"role": "assistant", "content": answer}]},
            where=where,
            base_dir=base_dir,
        )
        for name, answer in answers.items()
    }
    said = "\n".join(conversation.model_dump_json() for conversation in conversations.values())
    return Pair(
        conversations=conversations,
        numbers={name: _number(record, name, where=where) for name in numbers},
        seed=hashlib.sha256(said.encode()).hexdigest(),
    )


def samples_of(
    pair: Pair, compares: PreferenceRecipe, processor: Processor, *, base_dir: Path | None
) -> list[Sample]:
    """The sample of each branch of a pair, in order.

    Args:
        pair: The record.
        compares: Names the branches, and weighs their tokens.
        processor: Turns a conversation into a sample.
        base_dir: Folder that media paths are relative to; None refuses paths.

    Raises:
        ConversationError: The model does not take the conversation.
        MediaError: A medium cannot be read or decoded.
        DataError: There is no such corruption for a medium.
    """
    processor = processor.decoding_by(_once(processor.decode))
    samples: list[Sample] = []
    for branch in compares.branches:
        own = processor
        if branch.corruption is not None:
            own = own.corrupting(Corruption(name=branch.corruption, seed=pair.seed))
        samples.append(own(pair.conversations[branch.answer], base_dir=base_dir))
    weights = _weights(samples, compares)
    return [
        replace(
            sample,
            part=PairPart(
                branch=str(branch),
                key=_key(sample, weights.get(branch.answer)),
                numbers=pair.numbers,
                weights=weights.get(branch.answer),
            ),
        )
        for branch, sample in zip(compares.branches, samples, strict=True)
    ]


def _weights(samples: Sequence[Sample], compares: PreferenceRecipe) -> dict[str, tuple[float, ...]]:
    """By answer, how much each of its tokens counts; none where all count alike."""
    if (tokens := compares.tokens) is None:
        return {}
    by_branch = dict(zip(map(str, compares.branches), samples, strict=True))
    # What the first position is to be is asked nowhere.
    labels = [by_branch[name].labels[1:] for name in ANSWERS]
    changed = changed_tokens(*(each[each != IGNORED].tolist() for each in labels))
    return {
        name: tuple(weights_of(flags, changed=tokens.changed, normalise=tokens.normalise))
        for name, flags in zip(ANSWERS, (changed.first, changed.second), strict=True)
    }


def _once(decode: Decode) -> Decode:
    """The same, except that what was decoded before is not decoded again."""
    known: dict[tuple[str, str], Any] = {}

    def decode_once(medium: Medium, preprocessor: object, *, modality: str, limits: Limits) -> Any:
        key = (modality, medium.digest)
        if key not in known:
            known[key] = decode(medium, preprocessor, modality=modality, limits=limits)
        return known[key]

    return decode_once


def _words(record: Mapping[str, Any], name: str, *, where: str) -> str:
    """An answer of a record."""
    answer = record.get(name)
    if not isinstance(answer, str) or not answer.strip():
        given = "is missing" if name not in record else f"is {answer!r:.80}"
        raise DataError(
            f"{where}: {name} should be the text of an answer, but {given}; objective: preference "
            f"takes records with messages up to the question, {' and '.join(ANSWERS)}"
        )
    return answer


def _question(record: Mapping[str, Any], *, where: str) -> list[Any]:
    """The messages of a record, none of them learnt."""
    messages = record.get("messages")
    if not isinstance(messages, list) or not messages:
        raise DataError(f"{where}: the record has no messages; they end with the question")
    if not all(isinstance(message, Mapping) for message in messages):
        raise DataError(f"{where}: each of messages is an object with role and content")
    if (role := messages[-1].get("role")) != "user":
        raise DataError(
            f"{where}: the last of messages is of the role {role!r}; they end with the user's "
            "question, and the answers to it are chosen and rejected"
        )
    return [
        {**message, "loss": False} if message.get("role") == "assistant" else message
        for message in messages
    ]


def _number(record: Mapping[str, Any], name: str, *, where: str) -> float:
    """A number of a record's `meta`."""
    meta = record.get("meta")
    value = meta.get(name) if isinstance(meta, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(
            f"{where}: a term of the stage weighs by {name}, and meta.{name} is {value!r}; it "
            "should be a number"
        )
    return float(value)


def _key(sample: Sample, weights: tuple[float, ...] | None) -> str:
    """SHA-256 of what a score depends on: ids, what is learnt, and the media in their places."""
    digest = hashlib.sha256(repr(weights).encode())
    for tensor in (sample.ids, sample.labels):
        digest.update(tensor.numpy().tobytes())
    for slot in sample.slots:
        digest.update(f"{slot.modality} {slot.start} {slot.length} {slot.item}".encode())
    for name, items in sample.media.items():
        digest.update(f"{name} {[item.digest for item in items]}".encode())
    return digest.hexdigest()
