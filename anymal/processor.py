"""A conversation to a sample: the one CPU path, shared by training, evaluation and serving.

Does not know tensors on devices, encoders' weights or the language model's.

Shapes: S fused length, Q soft tokens per item, W windows of one item.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from anymal.chat.given import GivenAnswers, blank_of
from anymal.chat.segments import MediaSegment, Role, Segment, TextSegment, Turn
from anymal.chat.template import ChatTemplate
from anymal.chat.tokens import TextEncoder, pad_id_of
from anymal.chat.vocabulary import Vocabulary
from anymal.decoding.medium import Decode, decode_medium
from anymal.errors import AnymalError, ConversationError, TooLong
from anymal.features.store import FeatureStore
from anymal.intake.clock import Clock, in_time_order, on_clock
from anymal.intake.collected import Collected
from anymal.intake.facts import told
from anymal.intake.row import lay_out
from anymal.media.budget import Budget
from anymal.media.corrupt import Corruption
from anymal.media.limits import Limits
from anymal.media.soft_token_file import EMBEDS, embeds_digest, unpack
from anymal.modality import modality_of, not_taken, read_medium, what_is_needed
from anymal.protocol.contents import contents_of, media_first, text_of
from anymal.protocol.conversation import (
    Conversation,
    MediaPart,
    Message,
    Part,
    PromptEmbeds,
    PromptEmbedsPart,
    TextPart,
    read_conversation,
)
from anymal.protocol.sound_track import with_sound
from anymal.sample import Item, LearntRun, Sample, SlotLengths, check_teaches, told_of
from encoders.base import LayoutOf, Preprocessor, TimesOf


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalityInput(SlotLengths):
    """What the processor knows of one modality of the model.

    Attributes:
        preprocessor: The encoder's own.
        layout: The encoder's own; see `SlotLengths` for how Q follows from it.
        times: The encoder's own; None if it does not tell when it saw what.
        facts: Whether what was measured of each item stands beside it in words.
        prefix: Text before each item.
        suffix: Text after each item.
        features: Cache to take the encoder's features from; None decodes media.
        vocabulary: Of an aligner that reads the words beside each item.
    """

    preprocessor: Preprocessor
    layout: LayoutOf | None = None
    times: TimesOf | None = None
    facts: bool = False
    prefix: str = ""
    suffix: str = "\n"
    features: FeatureStore | None = None
    vocabulary: Vocabulary | None = None

    def surround(self, slot: MediaSegment) -> MediaSegment:
        """A slot with the text that belongs around it."""
        return replace(slot, prefix=self.prefix, suffix=self.suffix)


class Processor:
    """Turns conversations into samples.

    Args:
        tokenizer: The language model's tokeniser.
        template: Its chat template.
        modalities: The model's modalities by name.
        max_tokens: Most positions of a sample.
        limits: How much media one file may hold.
        embeds_dim: D_llm, for conversations that bring soft tokens; None refuses those.
        media_first: Write the media of a message before its text.
        needs_media: Refuse to answer a conversation without any medium.
        clock: For media that were recorded at the same time; None refuses groups of them.
        decode: Decodes media, in this process or elsewhere.
    """

    def __init__(
        self,
        *,
        tokenizer: Any,
        template: ChatTemplate,
        modalities: Mapping[str, ModalityInput],
        max_tokens: int,
        limits: Limits | None = None,
        embeds_dim: int | None = None,
        media_first: bool = False,
        needs_media: bool = False,
        clock: Clock | None = None,
        decode: Decode = decode_medium,
    ) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self.modalities = dict(modalities)
        self.max_tokens = max_tokens
        self.limits = limits or Limits()
        self.embeds_dim = embeds_dim
        self.media_first = media_first
        self.needs_media = needs_media
        self.clock = clock
        self.decode = decode
        self.corruption: Corruption | None = None
        self._text = TextEncoder(tokenizer, is_processors=template.markers is not None)

    def without_features(self) -> Self:
        """The same processor, which decodes media whether or not they are cached."""
        other = copy.copy(self)
        other.modalities = {name: replace(m, features=None) for name, m in self.modalities.items()}
        return other

    def decoding_by(self, decode: Decode) -> Self:
        """The same processor, whose media another decodes."""
        other = copy.copy(self)
        other.decode = decode
        return other

    def corrupting(self, corruption: Corruption) -> Self:
        """The same processor, whose media are corrupted after they were decoded."""
        other = copy.copy(self)
        other.corruption = corruption
        return other

    def places(self, run: LearntRun) -> list[tuple[int, int]]:
        """Where in learnt words their ids stand; see `TextEncoder.places`."""
        return self._text.places(run.text, follows=run.follows)

    @property
    def pad_id(self) -> int:
        """Id that fills up shorter samples; masked, and never looked up."""
        return pad_id_of(self.tokenizer)

    def __call__(
        self,
        conversation: Mapping[str, Any] | Conversation,
        *,
        base_dir: Path | None = None,
        generate: bool = False,
        name: str | None = None,
        budget: Budget | None = None,
        answers: GivenAnswers | None = None,
    ) -> Sample:
        """Process one conversation.

        Args:
            conversation: A `Conversation`, or a record with `messages` (and perhaps `id`).
            base_dir: Folder that media paths are relative to; None refuses paths.
            generate: End where the answer begins, without labels.
            name: What to call the sample; by default the record's `id`.
            budget: What all media together may hold; None bounds each by itself.
            answers: Given answers to grade; with `generate`.

        Returns:
            The sample.

        Raises:
            ConversationError: Its shape, roles or modalities are not what the model takes, or
                there is nothing to learn; `TooLong` if it exceeds `max_tokens`.
            MediaError: A medium cannot be read or decoded, or all of them exceed the budget.
        """
        if not isinstance(conversation, Conversation):
            name = name or (str(conversation["id"]) if "id" in conversation else None)
            conversation = read_conversation(conversation)
        media = Collected(budget=budget or Budget())
        self._check_length(conversation, media.budget, name or "sample")
        turns = [
            self._turn(message, media, base_dir, place=f"messages.{index}")
            for index, message in enumerate(conversation.messages)
        ]
        if generate and self.needs_media and not media.items:
            raise ConversationError(what_is_needed(self.modalities))
        blank = None if answers is None else blank_of(self.template, turns, answers)
        segments = blank.before if blank else self.template.render(turns, generate=generate)
        sample = lay_out(
            segments,
            media,
            self._text,
            enough=2 * self.max_tokens,
            with_labels=not generate,
            name=name or "sample",
        )
        if len(sample.ids) > self.max_tokens:
            found = f"{sample.name} takes {len(sample.ids)} tokens"
            raise self._too_long(found, told_of(sample.slots))
        if not generate and EMBEDS in sample.media:
            raise ConversationError(
                f"{sample.name} brings prompt_embeds, which can be asked about but not learnt from"
            )
        if not generate:
            check_teaches(sample)
        if blank is not None:
            ids = blank.filled(self._text, used=len(sample.ids), most=self.max_tokens)
            sample = replace(sample, answers=ids)
        return sample

    def _check_length(self, conversation: Conversation, budget: Budget, name: str) -> None:
        """Refuse what cannot fit before a medium is read or a word is tokenised."""
        contents = contents_of(conversation)
        soft = sum(self._own(part, place).least_tokens for place, part in contents.media.items())
        # A template writes something in each message.
        words = len(conversation.messages) + self._text.least_tokens(contents.num_characters)
        if soft + words > self.max_tokens:
            least = f"{name} takes {soft + words} tokens or more"
            raise self._too_long(least, f"{soft} of them for media")
        budget.check_files(len(contents.media))

    def _too_long(self, found: str, media: str) -> TooLong:
        return TooLong(
            f"{found} ({media}); the model takes {self.max_tokens}; shorten "
            "it, send fewer media, or raise llm.max_tokens"
        )

    def _own(self, part: MediaPart, place: str) -> ModalityInput:
        """What is known of a part's modality."""
        if (own := self.modalities.get(modality_of(part))) is None:
            raise not_taken(part, self.modalities, place=place)
        return own

    def _turn(
        self, message: Message, media: Collected, base_dir: Path | None, *, place: str
    ) -> Turn:
        """One message with its media preprocessed."""
        content: list[Segment] = []
        parts = message.parts
        media.text = "" if message.is_learnt else text_of(parts)
        for part in media_first(parts) if self.media_first else parts:
            try:
                content += self._segments(part, media, base_dir)
            except AnymalError as error:
                index = next(index for index, each in enumerate(parts) if each is part)
                error.place = f"{place}.content.{index}"
                raise
        role: Role = "system" if message.role == "developer" else message.role
        ordered = tuple(in_time_order(content))
        return Turn(role=role, content=ordered, is_learnt=message.is_learnt)

    def _segments(self, part: Part, media: Collected, base_dir: Path | None) -> list[Segment]:
        """One part."""
        if isinstance(part, TextPart):
            return [TextSegment(text=part.text)]
        if isinstance(part, PromptEmbedsPart):
            return self._embeds(part.prompt_embeds, media)
        return [s for each in with_sound(part) for s in self._medium(each, media, base_dir)]

    def _medium(self, part: MediaPart, media: Collected, base_dir: Path | None) -> list[Segment]:
        """Decode and preprocess one media part; returns its slot with the text around it."""
        name = modality_of(part)
        own = self._own(part, place="")
        media.budget.check()
        medium = read_medium(part, limits=self.limits, base_dir=base_dir)
        media.budget.count_file(0 if medium.source is None else len(medium.source.data))
        digest, signal = medium.digest, None
        if own.features is None:
            signal = self.decode(medium, own.preprocessor, modality=name, limits=self.limits)
            media.budget.count_signal(signal)
            if self.corruption is not None:
                signal = self.corruption(signal, digest)
                digest = self.corruption.digest(digest)
            tensors = own.preprocessor(signal)
            layout = None if own.layout is None else own.layout(tensors)
        else:
            assert self.corruption is None, "features were saved of media as they are"
            tensors, layout = own.features.item(digest, name=medium.name)
        words = own.vocabulary.read(media.text, name=medium.name) if own.vocabulary else None
        item = Item(tensors=tensors, digest=digest, layout=layout, words=words)
        if (group := part.group) is not None:
            item = on_clock(
                item, self.clock, own.times, signal=signal, group=group, name=medium.name
            )
        facts = f" {told(signal, name=medium.name)}" if own.facts else ""
        around = (own.prefix, facts, own.suffix)
        return [*media.place(name, item, own, name=medium.name, around=around, group=group)]

    def _embeds(self, given: PromptEmbeds, media: Collected) -> list[Segment]:
        """Soft tokens as they came; returns their slot with the text around it."""
        if self.embeds_dim is None:
            raise ConversationError("this model takes no prompt_embeds; send the medium itself")
        if given.modality not in self.modalities and given.modality is not None:
            raise ConversationError(
                f"prompt_embeds stand for {given.modality!r}; this model takes "
                f"{', '.join(self.modalities)}"
            )
        embeds = unpack(given.data, width=self.embeds_dim, limits=self.limits)
        item = Item(tensors={EMBEDS: embeds}, digest=embeds_digest(embeds))
        slot = replace(media.add(EMBEDS, item, [len(embeds)]), stands_for=given.modality or "")
        return [slot if given.modality is None else self.modalities[given.modality].surround(slot)]
