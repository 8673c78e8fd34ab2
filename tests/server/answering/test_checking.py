"""Safety checks, applied to what is asked and to what is said."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from anymal.protocol.conversation import Conversation
from server.app import create_app
from server.safety import Checks, Refusal, WordList
from server.settings import Settings

CHAT = "/v1/chat/completions"
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def ask(*content: Any, **more: Any) -> dict[str, Any]:
    parts = [{"type": "text", "text": each} if isinstance(each, str) else each for each in content]
    return {"messages": [{"role": "user", "content": parts}], **more}


class NoPictures:
    def medium(self, part: Any) -> Refusal | None:
        return Refusal(check="NoPictures", message="no pictures here")


class NoRudeness:
    """Reads sentences only, as the fake would repeat a refused prompt."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def sentence(self, text: str) -> Refusal | None:
        self.seen.append(text)
        return Refusal(check="NoRudeness", message="too rude") if "rude" in text else None


class NoEchoes:
    def exchange(self, conversation: Conversation, answer: str) -> Refusal | None:
        (part,) = conversation.messages[-1].parts
        same = answer == part.text  # type: ignore[union-attr]
        return Refusal(check="NoEchoes", message="only repeats") if same else None


@pytest.fixture
def serve(app: FastAPI, make_bridge: Any) -> Callable[..., httpx.Client]:
    def make(*checks: Any) -> httpx.Client:
        app.state.worker._checks = Checks(checks)
        return httpx.Client(transport=make_bridge(app), base_url="http://anymal")

    return make


def streamed(http: httpx.Client, body: dict[str, Any]) -> list[dict[str, Any]]:
    text = http.post(CHAT, json={**body, "stream": True}).text
    blocks = [block.removeprefix("data: ") for block in text.strip().split("\n\n")]
    return [json.loads(block)["choices"][0] for block in blocks[:-1]]


def test_a_refused_prompt_is_told_with_the_check(serve: Any, engine: Any) -> None:
    with serve(WordList(words="bomb")) as http:
        for body in (ask("A Bomb?"), ask("A bomb?", stream=True)):
            response = http.post(CHAT, json=body)
            assert response.status_code == 400
            error = response.json()["error"]
            assert error["code"] == "content_refused"
            assert error["message"].startswith("WordList: ")
            assert error["param"] == "messages.0"
        assert http.post(CHAT, json=ask("A flower?")).status_code == 200
    assert engine.prompts == ["A flower?"]


def test_a_refused_medium_is_told_wherever_it_comes(serve: Any) -> None:
    with serve(NoPictures()) as http:
        responses = [
            http.post(CHAT, json=ask(PICTURE, "What is it?")),
            http.post("/v1/align", json={"input": PICTURE}),
            http.post("/v1/ask", files=[("question", (None, "x")), ("image", ("a.png", b"x"))]),
        ]
        assert http.post(CHAT, json=ask("What is it?")).status_code == 200
    assert [response.status_code for response in responses] == [400, 400, 400]
    assert {response.json()["error"]["code"] for response in responses} == {"content_refused"}


def test_a_refused_sentence_ends_the_answer(serve: Any) -> None:
    with serve(NoRudeness()) as http:
        (choice,) = http.post(CHAT, json=ask("All good. So rude! And on.")).json()["choices"]
    assert choice["finish_reason"] == "content_filter"
    assert choice["message"]["content"] == "All good. "
    assert choice["message"]["refusal"] == "NoRudeness: too rude"


def test_a_stream_shows_only_sentences_that_were_checked(serve: Any, engine: Any) -> None:
    check = NoRudeness()
    with serve(check) as http:
        choices = streamed(http, ask("All good. Fine. So rude! And on."))
        assert engine.tickets[0].is_cancelled
    assert [choice["delta"] for choice in choices] == [
        {"role": "assistant", "content": ""},
        {"content": "All good. "},
        {"content": "Fine. "},
        {"refusal": "NoRudeness: too rude"},
        {},
    ]
    assert choices[-1]["finish_reason"] == "content_filter"
    assert check.seen == ["All good. ", "Fine. ", "So rude! "]


def test_what_passes_is_the_answer(serve: Any) -> None:
    with serve(NoRudeness()) as http:
        body = ask("All good. Fine", n=2)
        whole = http.post(CHAT, json=body).json()
        said = "".join(c["delta"].get("content", "") for c in streamed(http, ask("A. B\n\nC.")))
    assert [choice["message"]["content"] for choice in whole["choices"]] == ["All good. Fine"] * 2
    assert {choice["finish_reason"] for choice in whole["choices"]} == {"stop"}
    assert said == "A. B\n\nC."


def test_nothing_is_shown_before_the_whole_answer_is_checked(serve: Any) -> None:
    with serve(NoEchoes(), NoRudeness()) as http:
        refused = streamed(http, ask("Fine. Yes."))
        cut = streamed(http, ask("Fine. Yes.", max_tokens=4))
    assert [choice["delta"] for choice in refused[1:]] == [
        {"refusal": "NoEchoes: only repeats"},
        {},
    ]
    assert [choice["delta"] for choice in cut[1:]] == [{"content": "Fine"}, {}]


def test_probabilities_would_tell_what_no_check_has_seen(serve: Any) -> None:
    with serve(NoRudeness()) as http:
        response = http.post(CHAT, json=ask("hello", logprobs=True))
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "logprobs"


def test_the_setting_turns_checks_on(backend: Any, make_bridge: Any) -> None:
    settings = Settings(checks=("server.safety:WordList?words=bomb",))
    app = create_app(settings, backend)
    with httpx.Client(transport=make_bridge(app), base_url="http://anymal") as http:
        assert http.post(CHAT, json=ask("a bomb")).status_code == 400
