"""A bundle in this process that answers questions, with the same methods as `Client`.

Does not queue or compute: processor, soft tokens and engine are those that serve.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, Unpack, overload

from anymal.asking import (
    Answer,
    AnswerOptions,
    AnswerStream,
    AskOptions,
    as_messages,
    split,
    usage_of,
    user_message,
)
from anymal.attachments import Media
from anymal.bundle import load_bundle
from anymal.conversation import Conversation, Message
from anymal.engine.base import Engine
from anymal.engine.decoder import ModelDecoder
from anymal.engine.events import Finished, TextDelta
from anymal.engine.prompt import Prompt
from anymal.engine.sampling import Sampling
from anymal.engine.serial import SerialEngine
from anymal.processor import Processor, Sample
from anymal.soft_tokens import SoftTokens

# The caller's own process may read what the caller may: paths are not held in a folder.
_ANYWHERE = Path(Path.cwd().anchor)


def load(
    bundle: str | Path = "tiny", *, device: str = "cpu", precision: str | None = None
) -> "Assistant":
    """Load a bundle.

    Args:
        bundle: Its folder, or `tiny` for the built-in model.
        device: Torch device.
        precision: Of the language model; None takes the bundle's.

    Returns:
        The assistant.

    Raises:
        BundleError: If the bundle is missing, damaged or does not fit.
    """
    assembled = load_bundle(bundle, precision=precision, device=device)
    name = "anymal-tiny" if str(bundle) == "tiny" else Path(bundle).resolve().name
    return Assistant(
        name=name,
        processor=assembled.processor,
        soften=SoftTokens(assembled.model).prompt,
        engine=SerialEngine(ModelDecoder(assembled.model, assembled.processor)),
    )


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
        soften: Callable[[Sample], Prompt],
        engine: Engine,
    ) -> None:
        """See `load`.

        Args:
            name: What answers call the model.
            processor: Conversation to sample.
            soften: Sample to prompt.
            engine: The model.
        """
        self.name = name
        self.processor = processor
        self.soften = soften
        self.engine = engine

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
        """Ask one question about any media.

        Args:
            question: The question.
            stream: Return pieces of text as they arrive instead of the whole answer.
            **options: `image`, `video`, `audio`, `imu` (each one or a list), `audio_rate_hz`,
                `imu_rate_hz`, `acceleration_unit`, `rotation_unit`, and `max_tokens`,
                `temperature`, `top_p`, `stop`, `seed`: see `AskOptions`.

        Returns:
            The answer, or a stream of it.

        Raises:
            AnymalError: For media or conversations that are refused.
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

    def message(self, question: str, **media: Unpack[Media]) -> Message:
        """A user's turn for `chat` and `stream`: the media, then the question."""
        return user_message(question, inline=False, **media)

    def _stream(self, messages: list[Message], sampling: Sampling) -> Iterator[str | Answer]:
        conversation = Conversation(messages=messages)
        sample = self.processor(conversation, base_dir=_ANYWHERE, generate=True)
        pieces = []
        with closing(self.engine.submit(self.soften(sample), sampling)) as events:
            for event in events:
                if isinstance(event, TextDelta):
                    pieces.append(event.text)
                    yield event.text
                elif isinstance(event, Finished):
                    yield Answer(
                        text="".join(pieces),
                        finish_reason=event.reason,
                        usage=usage_of(event.counts),
                        model=self.name,
                    )


def _sampling(options: AnswerOptions) -> Sampling:
    """Options given as keywords, with the engine's defaults for the others."""
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    if isinstance(given.get("stop"), str):
        given["stop"] = (given["stop"],)
    if "stop" in given:
        given["stop"] = tuple(given["stop"])
    return Sampling(**given)
