"""`anymal data synth` against a service of canned replies."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from anymal.cli import data_synth, main
from anymal.client import Client
from anymal.errors import AnymalError, DataError
from tests.anymal.data import examples


def completion(text: str) -> httpx.Response:
    """As other servers send it, with fields that ours has not."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}}
    body = {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "llama-of-theirs",
        "system_fingerprint": "fp",
        "choices": [{**choice, "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
    return httpx.Response(200, json=body)


def reply(prompt: str) -> str:
    if "Description:" not in prompt:
        return "Green." if "grass" in prompt else "Something."
    if "A cat" in prompt:
        return "I would rather not."
    animal = "dog" if "A dog" in prompt else "cow"
    pairs = [
        {"question": f"What does the {animal} do?", "answer": "It sleeps."},
        {"question": "What colour is the grass?", "answer": "It is green."},
        {"question": "Which animal is it?", "answer": f"A {animal}."},
    ]
    return json.dumps(pairs)


@pytest.fixture
def prompts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return serve(monkeypatch, reply)


def serve(monkeypatch: pytest.MonkeyPatch, answer: Callable[[str], str]) -> list[str]:
    """Let the command ask `answer`; returns the prompts that it will have asked."""
    asked: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        assert request.url == "http://text.example/v1/chat/completions"
        body = json.loads(request.content)
        assert body["model"] == "llama"
        asked.append(body["messages"][0]["content"])
        return completion(answer(asked[-1]))

    carried = partial(Client, transport=httpx.MockTransport(handle))
    monkeypatch.setattr(data_synth, "Client", carried)
    return asked


def manifest(folder: Path) -> Path:
    lines = []
    for name, caption in (("a", "A dog sleeps."), ("b", "A cat sits."), ("c", "A cow sleeps.")):
        (folder / f"{name}.png").write_bytes(examples.png(0))
        image = {"type": "image_url", "image_url": {"url": f"{name}.png"}}
        user = {"role": "user", "content": [image, {"type": "text", "text": "Describe it."}]}
        said = {"role": "assistant", "content": caption}
        lines.append(json.dumps({"messages": [user, said], "meta": {"boxes": f"{name} [1, 2]"}}))
    path = folder / "train.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def run(source: Path, out: Path, *more: str) -> str:
    options = ["--out", str(out), "--url", "http://text.example/v1", "--model", "llama", *more]
    words = ["data", "synth", str(source), *options]
    done = CliRunner().invoke(main.app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def test_pairs_are_asked_checked_and_written(tmp_path: Path, prompts: list[str]) -> None:
    said = run(manifest(tmp_path), tmp_path / "o")
    # Grass is guessed, for either picture; a question may be asked of each.
    assert "4 pairs; dropped: 0 asked before, 2 answered without the medium" in said
    assert "unreadable replies: 1 of 3 rows" in said
    assert "train.jsonl:2: the reply is not JSON" in said
    lines = (tmp_path / "o" / "manifest.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [one["messages"][1]["content"] for one in records] == [
        *("It sleeps.", "A dog.", "It sleeps.", "A cow.")
    ]
    last = records[2]
    assert last["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": "c.png"}},
        {"type": "text", "text": "What does the cow do?"},
    ]
    assert last["meta"]["source"].endswith("train.jsonl:3")
    assert last["meta"]["model"] == "llama"
    about = [prompt for prompt in prompts if "Description:" in prompt]
    assert len(about) == 3
    assert sum("a [1, 2]" in prompt and "A dog sleeps." in prompt for prompt in about) == 1
    assert not any("dog sleeps" in prompt for prompt in prompts if prompt not in about)


def test_a_killed_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = manifest(tmp_path)

    def fail(prompt: str) -> str:
        if "A cow" in prompt:
            raise AnymalError("killed")
        return reply(prompt)

    serve(monkeypatch, fail)
    with pytest.raises(AnymalError, match="killed"):
        run(source, tmp_path / "o", "--concurrent", "1")
    log = tmp_path / "o.replies.jsonl"
    assert len(log.read_text().splitlines()) == 2
    with log.open("a") as file:
        file.write('{"key": "half')
    asked = serve(monkeypatch, reply)
    said = run(source, tmp_path / "o")
    assert "4 pairs; dropped: 0 asked before, 2 answered without the medium" in said
    assert not any("A dog sleeps" in prompt for prompt in asked)
    assert all(json.loads(line) for line in log.read_text().splitlines())
    with pytest.raises(DataError, match="is not empty; give a new folder"):
        run(source, tmp_path / "o")


def test_a_key_that_is_not_there_is_told(tmp_path: Path, prompts: list[str]) -> None:
    with pytest.raises(DataError, match="THEIR_KEY is not set"):
        run(manifest(tmp_path), tmp_path / "o", "--key-variable", "THEIR_KEY")
    assert not prompts
