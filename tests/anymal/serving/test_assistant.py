"""The assistant answers in this process; a fake stands in for its model."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from anymal.engine.batching import BatchingEngine
from anymal.engine.prompt import Prompt
from anymal.engine.sampling import Sampling
from anymal.errors import AnymalError, ConversationError, EngineError
from anymal.protocol.conversation import Conversation, Message
from anymal.serving.assistant import Assistant


class FakeModel:
    """Processor and encoders in one: the prompt is what was asked."""

    def __init__(self, say: Callable[[str], Prompt]) -> None:
        self.conversations: list[Conversation] = []
        self.is_closed = False
        self._say = say

    def __call__(self, conversation: Conversation, *, base_dir: Path, generate: bool) -> str:
        assert generate
        assert base_dir == Path("/")
        self.conversations.append(conversation)
        return f" {conversation.messages[-1].parts[-1].text}"  # type: ignore[union-attr]

    def prompt(self, sample: Any) -> Prompt:
        return self._say(sample)

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def model(say: Callable[[str], Prompt]) -> FakeModel:
    return FakeModel(say)


@pytest.fixture
def assistant(model: Any, byte_runner: Any) -> Iterator[Assistant]:
    engine = BatchingEngine(byte_runner)
    with Assistant(
        name="anymal-fake", processor=model, soft_tokens=model, engine=engine
    ) as assistant:
        yield assistant
    assert model.is_closed


def test_answer(assistant: Assistant) -> None:
    answer = assistant.ask("Gr\xfc\xdfe?")
    assert (answer.text, answer.finish_reason, answer.model) == (
        "Gr\xfc\xdfe?",
        "stop",
        "anymal-fake",
    )
    assert answer.usage.prompt_tokens_details == {
        "cached_tokens": 0,
        "text_tokens": 9,
        "imu_tokens": 6,
    }


def test_probabilities_are_told_if_asked_for(assistant: Assistant) -> None:
    answer = assistant.ask("Hello?", logprobs=1)
    told = answer.logprobs or ()
    assert len(told) == answer.usage.completion_tokens
    # The model begins with a space, which the answer leaves out.
    assert "".join(each.token for each in told).startswith(" Hello?")
    assert {each.logprob for each in told} == {-1.0}
    assert assistant.ask("Hello?").logprobs is None


def test_stream_joins_to_the_answer(assistant: Assistant) -> None:
    stream = assistant.ask("Gr\xfc\xdfe?", stream=True)
    assert "".join(stream) == stream.answer.text == "Gr\xfc\xdfe?"


def test_leaving_a_stream_ends_the_work(assistant: Assistant, byte_runner: Any) -> None:
    byte_runner.hold()
    with assistant.ask("Gr\xfc\xdfe?", stream=True) as stream:
        byte_runner.let(2)
        assert next(stream) == "G"
    byte_runner.let_go()
    assert assistant.ask("Next?").text == "Next?"
    assert byte_runner.said[0] in (" G", " Gr")  # a step may have begun before


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


def test_options_reach_the_engine(assistant: Assistant, byte_runner: Any) -> None:
    options: dict[str, Any] = {"max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "seed": 3}
    assistant.ask("What?", stop="x", **options)
    assistant.ask("What?", stop=["x", "y"], max_tokens=None)
    assert byte_runner.samplings == [
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
