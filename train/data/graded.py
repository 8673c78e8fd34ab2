"""Records with two answers, and the two samples that a reward model grades.

The records are those of preference (see `train.data.pairs`), with `meta.facts` where the model's
question about an answer has a place for facts. Does not compute a loss.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from anymal.errors import DataError
from anymal.objectives.terms import ANSWERS
from anymal.processor import Processor
from anymal.protocol.grading import Grading
from anymal.recipe.objective import PreferenceRecipe
from anymal.sample import PairPart, Sample
from train.data.pairs import Pair, check_pair

_TWO_ANSWERS = PreferenceRecipe.model_validate({"kind": "preference", "preset": "dpo"})


def check_graded(record: object, grading: Grading, *, where: str, base_dir: Path | None) -> Pair:
    """Check a record, and show both of its answers as they are graded.

    Args:
        record: As `train.data.pairs.check_pair` takes it.
        grading: How answers are shown.
        where: Names the record in errors.
        base_dir: Folder that media paths are relative to; None leaves paths unchecked.

    Raises:
        DataError: Starts with `where`, then says what is wrong and what is expected.
    """
    pair = check_pair(record, _TWO_ANSWERS, where=where, base_dir=base_dir)
    assert isinstance(record, Mapping), "checked above"
    facts = facts_of(record, where=where) if grading.takes_facts else ()
    return replace(
        pair,
        conversations={
            name: grading(conversation, facts) for name, conversation in pair.conversations.items()
        },
    )


def facts_of(record: Mapping[str, Any], *, where: str) -> tuple[str, ...]:
    """The facts of a record: `meta.facts`, a sentence or a list of sentences.

    Raises:
        DataError: It has none.
    """
    meta = record.get("meta")
    facts = meta.get("facts") if isinstance(meta, Mapping) else None
    given = [facts] if isinstance(facts, str) else facts
    if not isinstance(given, list) or not given or not all(map(_is_sentence, given)):
        raise DataError(
            f"{where}: meta.facts is {facts!r:.80}; the reward model's readouts.reward.ask has a "
            "place for facts, so that each record needs one or more sentences there"
        )
    return tuple(given)


def graded_samples(
    pair: Pair, grading: Grading, processor: Processor, *, base_dir: Path | None
) -> list[Sample]:
    """The sample of each answer of a pair, chosen first.

    Args:
        pair: From `check_graded`.
        grading: How its answers are shown.
        processor: Turns a conversation into a sample.
        base_dir: Folder that media paths are relative to; None refuses paths.

    Raises:
        ConversationError: The model does not take the conversation.
        MediaError: A medium cannot be read or decoded.
    """
    samples = [
        processor(pair.conversations[name], base_dir=base_dir, generate=grading.is_asked)
        for name in ANSWERS
    ]
    parts = [PairPart(branch=name, key="", numbers={}) for name in ANSWERS]
    return [replace(sample, part=part) for sample, part in zip(samples, parts, strict=True)]


def _is_sentence(fact: object) -> bool:
    return isinstance(fact, str) and bool(fact.strip())
