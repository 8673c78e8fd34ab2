"""A bundle in this process that answers questions, with the same methods as `Client`.

Does not queue or compute: processor, soft tokens and engine are those that serve.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self, Unpack, overload

from anymal.assemble import Assembled
from anymal.bundle.parts import ANYWHERE, Reach
from anymal.chat.given import GivenAnswers
from anymal.client.answer import (
    Answer,
    AnswerOptions,
    AnswerStream,
    AskOptions,
    as_messages,
    split,
    user_message,
)
from anymal.client.attachments import Media
from anymal.engine.base import Engine
from anymal.engine.build import build_engine
from anymal.engine.events import Finished, Likelihoods, TextDelta
from anymal.engine.given import Given
from anymal.engine.prompt import Prompt
from anymal.engine.sampling import Sampling
from anymal.engine.scheduler import Budget
from anymal.engine.stats import Step
from anymal.processor import Processor
from anymal.protocol.conversation import Conversation, Message
from anymal.protocol.responses import LikelihoodReply, TokenLogprob
from anymal.sample import Sample
from anymal.serving.precision import load_to_answer
from anymal.serving.shapes import finish_reason_of, likelihood_reply, logprob_of, usage_of
from anymal.serving.soft_tokens import DEFAULT_CACHE_BYTES, SoftTokens

logger = logging.getLogger(__name__)

# This is the caller's own process, so it may read any path that the caller may.
_ANYWHERE = Path(Path.cwd().anchor)


def load(
    bundle: str | Path = "tiny",
    *,
    device: str = "cpu",
    precision: str | None = None,
    merge_lora: bool | None = None,
    max_waiting: int = 16,
    cache_bytes: int | None = None,
    soft_token_bytes: int = DEFAULT_CACHE_BYTES,
    allow_hub: bool = False,
    local_models: str | Path = ANYWHERE,
    on_step: Callable[[Step], None] | None = None,
) -> "Assistant":
    """Load a bundle.

    Args:
        bundle: Its folder, `tiny` for the built-in model, or `ORG/NAME[@REV]` of the Hub.
        device: Torch device.
        precision: Of the language model: nf4, int8, int4, bf16 or fp32; None takes fp32 on
            a CPU and the bundle's elsewhere, see `anymal.serving.precision`.
        merge_lora: Add LoRA to the weights it was trained beside; None does unless that would round
            them again, and at int8 and int4 on a CPU.
        max_waiting: Most requests that may wait for the engine.
        cache_bytes: Size of the key-value cache; None chooses by device and model.
        soft_token_bytes: Most bytes of soft tokens to keep for media that come again.
        allow_hub: Download parts that the Hub's local cache lacks; otherwise nothing is fetched.
        local_models: Folder of checkpoints that the bundle may name by absolute path; by default,
            any folder of this machine.
        on_step: Called after each step of the engine, on its thread.

    Returns:
        The assistant.

    Raises:
        BundleError: If the bundle is missing, damaged or does not fit.
    """
    return start_assistant(
        load_to_answer(
            bundle,
            precision=precision,
            merge_lora=merge_lora,
            device=device,
            reach=Reach(allow_hub=allow_hub, local_models=local_models),
        ),
        name=name_of(bundle),
        max_waiting=max_waiting,
        cache_bytes=cache_bytes,
        soft_token_bytes=soft_token_bytes,
        on_step=on_step,
    )


def start_assistant(
    assembled: Assembled,
    *,
    name: str,
    max_waiting: int = 16,
    cache_bytes: int | None = None,
    soft_token_bytes: int = DEFAULT_CACHE_BYTES,
    budget: Budget | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> "Assistant":
    """Start the threads that answer with a model.

    Args:
        assembled: In eval mode; nothing else may use it until the assistant is closed.
        name: What answers call the model.
        max_waiting: See `load`, as for the other options.
        cache_bytes: See `load`.
        soft_token_bytes: See `load`.
        budget: How much a step of the engine may hold; None keeps the waits between words short.
        on_step: See `load`.
    """
    model, processor = assembled.model, assembled.processor
    engine = build_engine(
        model.llm,
        side=model.side,
        stop_ids=model.stop_ids,
        stop=processor.template.stop,
        max_tokens=processor.max_tokens,
        max_waiting=max_waiting,
        cache_bytes=cache_bytes,
        budget=budget,
        on_step=on_step,
    )
    return Assistant(
        name=name,
        processor=processor,
        soft_tokens=SoftTokens(model, cache_bytes=soft_token_bytes),
        engine=engine,
    )


def name_of(bundle: str | Path) -> str:
    """What answers call the model of a bundle."""
    return "anymal-tiny" if str(bundle) == "tiny" else Path(bundle).resolve().name


class PromptMaker(Protocol):
    """Makes prompts from samples, as `SoftTokens` does."""

    def prompt(self, sample: Sample) -> Prompt:
        """Make one; blocks while media are encoded."""
        ...

    def close(self) -> None:
        """Accept no more samples."""
        ...


class Assistant:
    """Answers questions in this process.

    Example:
        assistant = anymal.load("tiny")
        print(assistant.ask("What is the person doing?", imu="walk.csv", imu_rate_hz=50))
    """

    def __init__(
        self,
        *,
        name: str,
        processor: Processor,
        soft_tokens: PromptMaker,
        engine: Engine,
    ) -> None:
        """See `load`.

        Args:
            name: What answers call the model.
            processor: Conversation to sample.
            soft_tokens: Sample to prompt.
            engine: The model.
        """
        self.name = name
        self.processor = processor
        self.soft_tokens = soft_tokens
        self.engine = engine

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End its threads; answers that are not complete fail."""
        self.engine.close()
        self.soft_tokens.close()

    @overload
    def ask(
        self, question: str, *, stream: Literal[False] = False, **options: Unpack[AskOptions]
    ) -> Answer: ...
    @overload
    def ask(
        self, question: str, *, stream: Literal[True], **options: Unpack[AskOptions]
    ) -> AnswerStream: ...
    def ask(
        self, question: str, *, stream: bool = False, **options: Unpack[AskOptions]
    ) -> Answer | AnswerStream:
        """Ask one question about any media; see `anymal.Client.ask`.

        Of its options, those of a service are absent here: `model`, `extra` and `on_upload`.

        Raises:
            AnymalError: If the media or the conversation cannot be used.
        """
        media, rest = split(options)
        messages = [self.message(question, **media)]
        return self.stream(messages, **rest) if stream else self.chat(messages, **rest)

    def chat(
        self,
        messages: Sequence[Message | Mapping[str, Any]],
        **options: Unpack[AnswerOptions],
    ) -> Answer:
        """Answer a conversation, oldest turn first; media may be data URLs or absolute paths."""
        return self.stream(messages, **options).answer

    def stream(
        self,
        messages: Sequence[Message | Mapping[str, Any]],
        **options: Unpack[AnswerOptions],
    ) -> AnswerStream:
        """Answer a conversation piece by piece; work begins with the first piece."""
        return AnswerStream(self._stream(as_messages(messages), _sampling(options)))

    def likelihood(
        self,
        messages: Sequence[Message | Mapping[str, Any]],
        answers: Sequence[str],
        *,
        include_end: bool = True,
    ) -> LikelihoodReply:
        """Tell how likely given answers to a conversation are; see `anymal.Client.likelihood`."""
        given = GivenAnswers(texts=tuple(answers), with_end=include_end)
        conversation = Conversation(messages=as_messages(messages))
        sample = self.processor(conversation, base_dir=_ANYWHERE, generate=True, answers=given)
        return likelihood_reply(self.grade(sample), model=self.name)

    def grade(self, sample: Sample) -> Likelihoods:
        """Tell how likely the answers of a sample are."""
        prompt = self.soft_tokens.prompt(sample)
        with closing(self.engine.submit(prompt, Given(answers=sample.answers))) as events:
            found = next(events)
        assert isinstance(found, Likelihoods), "the only event of given answers"
        return found

    def message(self, question: str, **media: Unpack[Media]) -> Message:
        """A user's turn for `chat` and `stream`: the media, then the question."""
        return user_message(question, inline=False, **media)

    def _stream(self, messages: list[Message], sampling: Sampling) -> Iterator[str | Answer]:
        conversation = Conversation(messages=messages)
        sample = self.processor(conversation, base_dir=_ANYWHERE, generate=True)
        prompt = self.soft_tokens.prompt(sample)
        pieces: list[str] = []
        logprobs: list[TokenLogprob] = []
        with closing(self.engine.submit(prompt, sampling)) as events:
            for event in events:
                if isinstance(event, TextDelta | Finished):
                    logprobs += map(logprob_of, event.logprobs)
                if isinstance(event, TextDelta):
                    pieces.append(event.text)
                    yield event.text
                elif isinstance(event, Finished):
                    yield Answer(
                        text="".join(pieces),
                        finish_reason=finish_reason_of(event.reason),
                        usage=usage_of(event.counts),
                        model=self.name,
                        logprobs=None if sampling.logprobs is None else tuple(logprobs),
                    )


def _sampling(options: AnswerOptions) -> Sampling:
    """Options given as keywords, with the engine's defaults for the others."""
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    if isinstance(given.get("stop"), str):
        given["stop"] = (given["stop"],)
    if "stop" in given:
        given["stop"] = tuple(given["stop"])
    return Sampling(**given)
