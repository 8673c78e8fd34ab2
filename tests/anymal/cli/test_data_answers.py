"""`anymal data answers` of a service of canned replies, and of the built-in model."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from anymal import client
from anymal.cli import main
from anymal.errors import DataError
from tests.anymal.cli.test_data_synth import completion


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main.app, ["data", "answers", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    path = tmp_path / "asked.jsonl"
    path.write_text(json.dumps({"messages": [{"role": "user", "content": "Which colour?"}]}))
    return path


def texts(path: Path) -> list[str]:
    return [one["text"] for one in json.loads(path.read_text())["completions"]]


def test_a_service_is_asked_with_a_seed_for_each_answer(
    monkeypatch: pytest.MonkeyPatch, asked: Path
) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        body: dict[str, Any] = json.loads(request.content)
        assert (body["model"], body["temperature"], body["max_tokens"]) == ("llama", 0.5, 9)
        return completion(f" Colour {body['seed']}. ")

    monkeypatch.setattr(
        client, "Client", partial(client.Client, transport=httpx.MockTransport(handle))
    )
    out = asked.parent / "out.jsonl"
    told = run(
        *(str(asked), "--out", str(out), "--url", "http://text.example", "--model", "llama"),
        *("--count", "3", "--seed", "5", "--temperature", "0.5", "--max-tokens", "9"),
    )
    assert "1 record of 3 answers each" in told
    assert texts(out) == ["Colour 5.", "Colour 6.", "Colour 7."]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give --bundle, or --url with --model"),
        (["--bundle", "tiny", "--model", "m"], "give --bundle, or --url with --model"),
        (["--url", "http://x"], "give --bundle, or --url with --model"),
        (["--url", "http://x", "--model", "m", "--corruption", "crop"], "others need --bundle"),
        (["--bundle", "tiny", "--corruption", "fog"], "--corruption: unknown corruption 'fog'"),
    ],
)
def test_options_that_do_not_fit_are_refused(asked: Path, options: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        run(str(asked), "--out", str(asked.parent / "out.jsonl"), *options)
