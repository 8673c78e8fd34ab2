"""The assistant answers in this process; a fake stands in for its model."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from anymal.assistant import Assistant
from anymal.conversation import Conversation, Message
from anymal.engine.prompt import EmbeddingSegment, Prompt, TokenSegment
from anymal.engine.sampling import Sampling
from anymal.engine.serial import SerialEngine
from anymal.errors import AnymalError, ConversationError, EngineError


class FakeModel:
    """Processor, encoders and decoder in one: says what it was asked, one byte a step."""

    def __init__(self) -> None:
        self.conversations: list[Conversation] = []
        self.samplings: list[Sampling] = []
        self.has_closed = threading.Event()

    def __call__(self, conversation: Conversation, *, base_dir: Path, generate: bool) -> str:
        assert generate
        assert base_dir == Path("/")
        self.conversations.append(conversation)
        return f" {conversation.messages[-1].parts[-1].text}"  # type: ignore[union-attr]

    def soften(self, sample: str) -> Prompt:
        motion: Any = range(32)
        words = TokenSegment(ids=(1, 2))
        return Prompt(
            segments=(words, EmbeddingSegment(embeddings=motion, digest=sample, kind="imu"))
        )

    def decode(self, prompt: Prompt, sampling: Sampling) -> Iterator[int]:
        self.samplings.append(sampling)
        try:
            yield from prompt.segments[1].digest.encode()  # type: ignore[union-attr]
        finally:
            self.has_closed.set()

    def text(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode(errors="replace")

    def room(self, prompt: Prompt) -> int:
        return 1000


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def assistant(model: Any) -> Iterator[Assistant]:
    engine = SerialEngine(model)
    yield Assistant(name="anymal-fake", processor=model, soften=model.soften, engine=engine)
    engine.close()


def test_answer(assistant: Assistant) -> None:
    answer = assistant.ask("Gr\xfc\xdfe?")
    assert (answer.text, answer.finish_reason, answer.model) == (
        "Gr\xfc\xdfe?",
        "stop",
        "anymal-fake",
    )
    assert answer.usage.prompt_tokens_details == {
        "cached_tokens": 0,
        "text_tokens": 2,
        "imu_tokens": 32,
    }


def test_stream_joins_to_the_answer(assistant: Assistant) -> None:
    stream = assistant.ask("Gr\xfc\xdfe?", stream=True)
    assert "".join(stream) == stream.answer.text == "Gr\xfc\xdfe?"


def test_leaving_a_stream_ends_the_work(assistant: Assistant, model: FakeModel) -> None:
    with assistant.ask("Gr\xfc\xdfe?", stream=True) as stream:
        assert next(stream) == "G"
    assert model.has_closed.wait(10)


def test_paths_are_named_not_read(
    assistant: Assistant, model: FakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assistant.ask("What?", imu="walk.csv", image=Path("a.png"), imu_rate_hz=50)
    image, imu, _ = model.conversations[0].messages[0].parts
    assert image.image_url.url == str(tmp_path / "a.png")  # type: ignore[union-attr]
    assert imu.input_imu.url == str(tmp_path / "walk.csv")  # type: ignore[union-attr]
    assert imu.input_imu.rate_hz == 50  # type: ignore[union-attr]


def test_conversation_goes_on(assistant: Assistant, model: FakeModel) -> None:
    messages: list[Message | Mapping[str, Any]] = [{"role": "user", "content": "One?"}]
    first = assistant.chat(messages)
    second = assistant.chat([*messages, first.message, assistant.message("Two?")])
    assert second.text == "Two?"
    roles = [message.role for message in model.conversations[1].messages]
    assert roles == ["user", "assistant", "user"]


def test_options_reach_the_decoder(assistant: Assistant, model: FakeModel) -> None:
    options: dict[str, Any] = {"max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "seed": 3}
    assistant.ask("What?", stop="x", **options)
    assistant.ask("What?", stop=["x", "y"], max_tokens=None)
    assert model.samplings == [
        Sampling(stop=("x",), **options),
        Sampling(stop=("x", "y"), max_tokens=256),
    ]


@pytest.mark.parametrize(
    ("options", "kind"),
    [({"temperature": 3.0}, EngineError), ({"max_tokens": 0}, EngineError)],
)
def test_refused_options(assistant: Assistant, options: Any, kind: type[AnymalError]) -> None:
    with pytest.raises(kind):
        assistant.ask("What?", **options)


def test_refused_conversation(assistant: Assistant) -> None:
    with pytest.raises(ConversationError, match=r"messages\.0\.role"):
        assistant.chat([{"role": "judge", "content": "x"}])
