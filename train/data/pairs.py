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
from anymal.media.corrupt import ABSENT, Corruption
from anymal.media.limits import Limits
from anymal.modality import Medium
from anymal.objectives.changed import changed_tokens, weights_of
from anymal.objectives.kept import KEPT
from anymal.objectives.phrases import Span, phrases_of_tokens, read_phrases
from anymal.objectives.terms import ANSWERS
from anymal.processor import Processor
from anymal.protocol.conversation import Conversation, TextPart
from anymal.recipe.objective import PreferenceRecipe
from anymal.sample import IGNORED, PairPart, Sample
from train.data.records import check_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One record.

    Attributes:
        conversations: By answer, the question with that answer; nothing else of it is learnt.
        numbers: Of its `meta`, those that terms name.
        answers: By answer, its words.
        phrases: By answer, its phrases; none where answers are compared as a whole.
        seed: Of what is done to its media: SHA-256 of its words and of where its media are.
    """

    conversations: Mapping[str, Conversation]
    numbers: Mapping[str, float]
    answers: Mapping[str, str]
    phrases: Mapping[str, Sequence[Span]]
    seed: str


def check_pair(
    record: object, compares: PreferenceRecipe, *, where: str, base_dir: Path | None
) -> Pair:
    """Check what can be checked without decoding, as `train.data.records.check_record` does.

    Args:
        record: `messages` up to the question, `chosen` and `rejected` as words, and perhaps `id`
            and `meta`.
        compares: Names what `meta` has to have.
        where: Names the record in errors.
        base_dir: Folder that media paths are relative to; None leaves paths unchecked.

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
    phrases: Mapping[str, Sequence[Span]] = {}
    if compares.unit == "phrase":
        phrases = read_phrases(_meta(record).get("phrases"), answers, where=where)
    said = "\n".join(conversation.model_dump_json() for conversation in conversations.values())
    return Pair(
        conversations=conversations,
        numbers={name: _number(record, name, where=where) for name in compares.numbers},
        answers=answers,
        phrases=phrases,
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
        own, conversation = processor, pair.conversations[branch.words_of]
        if branch.corruption == ABSENT:
            conversation = _without_media(conversation)
        elif branch.corruption is not None:
            own = own.corrupting(Corruption(name=branch.corruption, seed=pair.seed))
        samples.append(own(conversation, base_dir=base_dir))
    weights = _weights(samples, compares)
    parts = [
        PairPart(
            branch=str(branch),
            key=_key(sample, weights.get(branch.answer)),
            numbers=pair.numbers,
            weights=weights.get(branch.answer),
            phrases=_phrases(sample, branch.answer, pair, processor) if pair.phrases else None,
        )
        for branch, sample in zip(compares.branches, samples, strict=True)
    ]
    return [replace(sample, part=part) for sample, part in zip(samples, parts, strict=True)]


def kept_sample(
    conversation: Conversation, processor: Processor, *, base_dir: Path | None
) -> Sample:
    """The sample of a record on which the model is to stay as it was, beside those of a pair.

    Raises:
        ConversationError: The model does not take the conversation.
        MediaError: A medium cannot be read or decoded.
    """
    sample = processor(conversation, base_dir=base_dir)
    return replace(sample, part=PairPart(branch=KEPT, key=_key(sample, None), numbers={}))


def _without_media(conversation: Conversation) -> Conversation:
    """The words of a conversation."""
    messages = [
        message.model_copy(
            update={"content": [part for part in message.parts if isinstance(part, TextPart)] or ""}
        )
        for message in conversation.messages
    ]
    return conversation.model_copy(update={"messages": messages})


def _phrases(sample: Sample, answer: str, pair: Pair, processor: Processor) -> tuple[int, ...]:
    """The phrase of each target token, 0 outside phrases."""
    said = pair.answers[answer]
    trimmed = said.strip()  # as templates write it
    places: list[tuple[int, int]] = []
    is_found = False
    for run in sample.learnt:
        at = run.text.find(trimmed)
        if is_found or at < 0:
            places += [(0, 0)] * run.length  # in no phrase
            continue
        is_found = True
        shift = said.index(trimmed) - at
        places += [(start + shift, end + shift) for start, end in processor.places(run)]
    if not is_found:
        raise DataError(
            f"the template of the model does not write {answer} as it is ({said!r:.80}), so that "
            "its phrases have no place; write it without line breaks and double spaces"
        )
    numbers = phrases_of_tokens(places, pair.phrases[answer], where=f"meta.phrases.{answer}")
    is_target = sample.labels[1:] != IGNORED  # what the first position is to be is asked nowhere
    return numbers[-int(is_target.sum()) :]


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
    value = _meta(record).get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(
            f"{where}: a term of the stage weighs by {name}, and meta.{name} is {value!r}; it "
            "should be a number"
        )
    return float(value)


def _meta(record: Mapping[str, Any]) -> Mapping[str, Any]:
    meta = record.get("meta")
    return meta if isinstance(meta, Mapping) else {}


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
