"""Questions, streamed answers, and what goes wrong in between."""

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from server.app import create_app
from server.served.models import Backend
from server.settings import Settings


def test_the_answer_grows_and_stop_ends_it(here: Any, engine: Any) -> None:
    here.page.fill("#question", "forever")
    here.page.keyboard.press("Enter")
    words = here.page.locator(".answered .words")
    words.filter(has_text="forever" * 4).wait_for()
    assert not engine.has_ended.is_set()
    assert words.inner_text().startswith("foreverforever")
    here.page.get_by_role("button", name="Stop the answer").click()
    here.page.get_by_text("You stopped the answer.").wait_for()
    assert engine.has_ended.wait(20)
    assert here.page.get_by_role("button", name="Send").is_visible()


def test_media_stay_in_the_conversation(here: Any, files: dict[str, Path]) -> None:
    here.attach("image", files["image"])
    here.ask("What is it?")
    here.ask("And where?")
    assert [message["role"] for message in here.asked[-1]["messages"]] == [
        "user",
        "assistant",
        "user",
    ]
    first, second, third = here.asked[-1]["messages"]
    assert [part["type"] for part in first["content"]] == ["image_url", "text"]
    assert second["content"] == "What is it? +1"
    assert third["content"] == [{"type": "text", "text": "And where?"}]
    here.page.get_by_role("button", name="New conversation").click()
    assert here.page.locator("#welcome").is_visible()
    here.ask("Who are you?")
    assert len(here.asked[-1]["messages"]) == 1


def test_a_model_that_needs_media_gets_one_before_the_first_question(
    visit: Callable[..., Any], backend: Backend, files: dict[str, Path]
) -> None:
    here = visit(create_app(Settings(), dataclasses.replace(backend, needs_media=True)))
    here.page.fill("#question", "What is it?")
    here.page.click("#send")
    notice = "an image, a clip, a sound or a motion recording. Attach one first."
    here.page.get_by_text(f"This model only answers about {notice}").wait_for()
    assert here.asked == []
    assert here.page.input_value("#question") == "What is it?"
    here.attach("image", files["image"])
    here.ask("What is it?")
    here.ask("And where?")  # about the same picture
    assert [body["stop_repetition"] for body in here.asked] == [True, True]


def test_tokens_and_times_stand_under_the_answer(here: Any) -> None:
    answer = " ".join(here.ask("Hello").split())
    assert "Tokens: text 3 image 32 answer 5 first word after" in answer
    assert answer.endswith("in all")


def test_what_a_model_says_is_text(here: Any) -> None:
    assert "<img src=x onerror=alert(1)>" in here.ask("<img src=x onerror=alert(1)>")
    assert here.page.locator(".thread img").count() == 0


def test_a_refusal_is_told_and_can_be_tried_again(here: Any) -> None:
    here.expected.append("Failed to load resource")
    assert "900 tokens; the model takes 512" in here.ask("too long")
    with here.page.expect_response("**/v1/chat/completions"):
        here.page.get_by_role("button", name="Try again").click()
    here.page.get_by_role("alert").get_by_text("900 tokens").wait_for()
    assert here.asked[0] == here.asked[1]
    assert "Hello" in here.ask("Hello")
    assert len(here.asked[-1]["messages"]) == 1  # what was refused is not told again


def test_a_failure_in_mid_answer_is_told(here: Any) -> None:
    answer = here.ask("Half # whole")
    assert answer.startswith("Half")
    assert "the service failed" in answer


def test_a_service_that_is_gone_is_told(here: Any) -> None:
    here.expected.append("Failed to load resource")
    here.page.route("**/v1/chat/completions", lambda route: route.abort())
    assert "The service does not answer" in here.ask("Hello")


def test_the_key_is_asked_for_and_kept_in_the_tab(
    visit: Callable[..., Any], make_app: Callable[..., FastAPI]
) -> None:
    here = visit(make_app(api_key="sesame"), is_ready=False)
    here.expected.append("Failed to load resource")
    key = here.page.get_by_label("This service asks for an API key")
    key.fill("thistle")
    key.press("Enter")
    here.page.get_by_text("The service did not take this key.").wait_for()
    key.fill("sesame")
    key.press("Enter")
    here.page.locator("#model:enabled").wait_for()
    assert key.is_hidden()
    assert here.ask("Hello").startswith("Hello")
    assert here.page.evaluate("Object.values(localStorage)") == []
    here.page.reload()
    here.page.locator("#model:enabled").wait_for()


def test_the_page_waits_for_a_model_that_loads(visit: Callable[..., Any], backend: Any) -> None:
    may_load = threading.Event()

    def load(settings: Settings) -> Any:
        assert may_load.wait(60)
        return backend

    here = visit(create_app(Settings(), load=load), is_ready=False)
    here.expected.append("Failed to load resource")
    here.page.get_by_text("the model is still loading").wait_for()
    may_load.set()
    here.page.locator("#model:enabled").wait_for()
    assert here.page.locator("#notice").is_hidden()
    assert here.page.locator("#model").inner_text() == "anymal-fake"
