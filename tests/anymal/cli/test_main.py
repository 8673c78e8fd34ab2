"""The command line: what it prints, and how it says no."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

import anymal
from anymal.cli import late_commands, main
from anymal.client.answer import Answer, AnswerStream
from anymal.client.attachments import attach
from anymal.errors import AnymalError, MediaNotFound
from anymal.protocol.conversation import Message
from anymal.protocol.responses import Usage

if TYPE_CHECKING:
    from anymal.assemble import Assembled

USAGE = Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)


class FakeAssistant:
    """Answers `It is a <n>.` where n counts turns, in two pieces."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.heard: list[list[Message]] = []
        self.options: list[Any] = []
        self.refusal: str | None = None
        self.is_closed = False
        self.loaded: list[Any] = []

    def load(self, bundle: str, **options: Any) -> "FakeAssistant":
        self.loaded.append((bundle, options["precision"]))
        return self

    def __enter__(self) -> "FakeAssistant":
        return self

    def __exit__(self, *error: object) -> None:
        self.is_closed = True

    def message(self, question: str, **media: Any) -> Message:
        attach(inline=False, **media)
        self.asked.append({"question": question, **media})
        return Message(role="user", content=question)

    def stream(self, messages: Sequence[Message], **options: Any) -> AnswerStream:
        self.heard.append(list(messages))
        self.options.append(options)
        if messages[-1].content == "fail":
            raise MediaNotFound("walk.csv", "no such file", "an existing file")
        number = len(self.heard)
        text = f"It is {number}."
        answer = Answer(
            text=text, finish_reason="stop", usage=USAGE, model="fake", refusal=self.refusal
        )
        return AnswerStream(iter(["It is ", f"{number}.", answer]))


@pytest.fixture
def assistant(monkeypatch: pytest.MonkeyPatch) -> FakeAssistant:
    """What `load` gives, whatever the bundle."""
    fake = FakeAssistant()
    module = SimpleNamespace(load=fake.load)
    monkeypatch.setitem(sys.modules, "anymal.serving.assistant", module)  # type: ignore[arg-type]
    return fake


@pytest.fixture
def run() -> Callable[..., Any]:
    return lambda *words, **more: CliRunner().invoke(
        main.app, list(words), catch_exceptions=False, **more
    )


def plain(text: str) -> str:
    """Without colours and frames."""
    return re.sub(r"\x1b\[[0-9;]*m|[\u2502\u256d\u256e\u2570\u256f\u2500]", "", text)


def test_ask_prints_the_answer(run: Any, assistant: FakeAssistant) -> None:
    done = run("ask", "What is it?")
    assert (done.exit_code, done.stdout) == (0, "It is 1.\n")
    assert assistant.is_closed


def test_ask_json(run: Any, assistant: FakeAssistant) -> None:
    done = run("ask", "What is it?", "--json")
    found = json.loads(done.stdout)
    assert found["text"] == "It is 1."
    assert found["usage"]["total_tokens"] == 3


def test_every_flag_reaches_the_question(run: Any, assistant: FakeAssistant) -> None:
    flags = (
        "--image a.png --image b.png --video c.mp4 --audio d.wav --imu e.csv --imu-rate-hz 50 "
        "--acceleration-unit g --rotation-unit deg/s --group --max-tokens 9 --bundle tiny "
        "--precision int4"
    )
    assert run("ask", "What?", *flags.split()).exit_code == 0
    assert assistant.asked == [
        {
            "question": "What?",
            "image": ["a.png", "b.png"],
            "video": ["c.mp4"],
            "audio": ["d.wav"],
            "imu": ["e.csv"],
            "imu_rate_hz": 50.0,
            "acceleration_unit": "g",
            "rotation_unit": "deg/s",
            "group": True,
        }
    ]
    assert assistant.options == [{"max_tokens": 9, "stop_repetition": True}]
    assert assistant.loaded == [("tiny", "int4")]


def test_a_service_holds_its_model_as_it_likes(run: Any) -> None:
    done = run("ask", "What?", "--url", "http://there", "--precision", "int4")
    assert done.exit_code == 2
    assert "the service at --url holds its own model" in plain(done.stderr)


def test_ask_a_service(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    class FakeClient(FakeAssistant):
        def __init__(self, *, base_url: str) -> None:
            super().__init__()
            seen.append(base_url)

        def close(self) -> None:
            seen.append(self.options[0].keys())

    monkeypatch.setattr("anymal.client.Client", FakeClient)
    assert run("ask", "What?", "--url", "http://there").stdout == "It is 1.\n"
    assert seen == ["http://there", {"max_tokens", "stop_repetition", "on_upload"}]


def test_answer_that_a_check_ended_says_so(run: Any, assistant: FakeAssistant) -> None:
    assistant.refusal = "rude"
    done = run("ask", "What?")
    assert done.stdout == "It is 1.\n"
    assert done.stderr == "the service ended the answer: rude\n"
    assert json.loads(run("ask", "What?", "--json").stdout)["refusal"] == "rude"


def test_chat_keeps_the_conversation(run: Any, assistant: FakeAssistant) -> None:
    lines = ["/image 'my cat.png' b.png", "/imu walk.csv", "What is it?", "", "And now?", "/quit"]
    done = run("chat", "--imu-rate-hz", "20", input="\n".join(lines) + "\nnever read\n")
    assert done.exit_code == 0
    assert "attached: image my cat.png, image b.png, imu walk.csv" in done.stdout
    assert "It is 1.\n" in done.stdout
    assert "It is 2.\n" in done.stdout
    first, second = assistant.asked
    assert first["image"] == ["my cat.png", "b.png"]
    assert (first["imu"], first["imu_rate_hz"]) == (["walk.csv"], 20.0)
    assert "image" not in second
    said = [(message.role, message.content) for message in assistant.heard[1]]
    assert said == [("user", "What is it?"), ("assistant", "It is 1."), ("user", "And now?")]


def test_chat_ends_answers_that_go_in_circles(run: Any, assistant: FakeAssistant) -> None:
    assert run("chat", "--max-tokens", "9", input="What is it?\n").exit_code == 0
    assert assistant.options == [{"max_tokens": 9, "stop_repetition": True}]


def test_chat_survives_mistakes(run: Any, assistant: FakeAssistant) -> None:
    lines = ["fail", '/image "half', "/nonsense", "/image", "/audio a.wav", "/new", "Hello?"]
    done = run("chat", input="\n".join(lines) + "\n")
    assert done.exit_code == 0
    assert "error: walk.csv: found no such file" in done.stderr
    assert "close the quotation mark" in done.stderr
    assert done.stdout.count("Type a question.") == 3
    assert len(assistant.heard[-1]) == 1
    assert "audio" not in assistant.asked[-1]


def test_chat_shows_what_is_attached(run: Any, assistant: FakeAssistant) -> None:
    done = run("chat", input="/files\n/audio a.wav\n")
    assert "attached: nothing\n" in done.stdout
    assert "attached: audio a.wav\n" in done.stdout


def test_bundle_show_tells_what_a_bundle_holds(
    run: Any, assembled: "Assembled", tmp_path: Path
) -> None:
    from anymal.bundle.save import save_bundle

    sources = [{"name": "squares", "licence": "CC0"}]
    folder = save_bundle(assembled, tmp_path / "one", data_sources=sources, results={"right": 0.5})
    done = run("bundle", "show", str(folder))
    shown = json.loads(done.stdout)
    assert done.exit_code == 0
    assert (shown["llm"]["hidden_size"], shown["trained_precision"]) == (64, "fp32")
    assert shown["recipe"]["llm"]["template"] == "llama2"
    assert set(shown["modalities"]) == {"image", "imu"}
    assert shown["modalities"]["image"]["kind"] == "vision"
    assert shown["modalities"]["image"]["width"] == 16
    assert shown["modalities"]["imu"]["aligner"] == {"kind": "linear", "num_tokens": 40}
    assert (shown["data_sources"], shown["results"]) == (sources, {"right": 0.5})


def call_main(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["anymal", *words])
    with pytest.raises(SystemExit) as done:
        main.main()
    return int(done.value.code or 0)


@pytest.mark.usefixtures("assistant")
def test_mistake_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call_main(monkeypatch, "ask", "fail") == 1
    expected = "error: walk.csv: found no such file; accepted: an existing file\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(
    "words",
    [
        ["ask"],
        ["ask", "What?", "--imagee", "a.png"],
        ["ask", "What?", "--rotation-unit", "rpm"],
        ["ask", "What?", "--max-tokens", "0"],
        ["nonsense"],
    ],
)
def test_wrong_usage_is_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert call_main(monkeypatch, *words) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_version(run: Any) -> None:
    assert run("--version").stdout == f"anymal {anymal.__version__}\n"


def test_help_lists_every_command_and_loads_none() -> None:
    code = """
import sys
from anymal.cli.main import main
sys.argv = ["anymal", "--help"]
try:
    main()
except SystemExit as done:
    loaded = sorted({"torch", "transformers", "fastapi", "train", "server"} & set(sys.modules))
    print("loaded", loaded, "code", done.code)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "loaded [] code 0" in done.stdout, done.stderr
    for name in ("ask", "chat", "bundle", "eval", "data"):
        assert re.search(rf"\b{name}\b", plain(done.stdout))


def points(**found: str) -> Callable[..., Any]:
    return lambda group: [SimpleNamespace(name=name, value=to) for name, to in found.items()]


def test_late_command_runs(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def greet(name: str, loud: bool = False) -> None:
        print(name.upper() if loud else name)  # noqa: T201

    monkeypatch.setitem(sys.modules, "elsewhere", SimpleNamespace(greet=greet))  # type: ignore[arg-type]
    monkeypatch.setattr(late_commands, "entry_points", points(greet="elsewhere:greet"))
    assert run("greet", "you", "--loud").stdout == "YOU\n"
    assert "greet" in plain(run("--help").stdout)
    assert "--loud" in plain(run("greet", "--help").stdout)


def test_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_commands, "entry_points", points(fly="no_such_package.cli:fly"))
    with pytest.raises(AnymalError, match="'anymal fly' needs no_such_package"):
        late_commands.load_command("fly")


def test_own_late_commands_have_a_line_of_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_commands, "entry_points", points(train="train.cli:train"))
    late: Mapping[str, late_commands.LateCommand] = late_commands.late_commands()
    assert list(late) == [
        *("cache", "eval", "eval compare", "plan", "data", "data check", "data show", "data audit"),
        *("data import", "data export", "data synth", "data answers", "data pairs"),
        "train",
    ]
    assert all(command.help for command in late.values())
