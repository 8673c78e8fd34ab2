"""A question and files as a form."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from anymal.errors import MediaError
from anymal.media.audio import decode_audio
from anymal.media.limits import Limits
from anymal.media.source import read_source

ASK = "/v1/ask"
# (None, value) is a plain field of a multipart form.
QUESTION = ("question", (None, "What is it?"))


def test_answer_is_that_of_a_chat_completion(http: httpx.Client, engine: Any) -> None:
    files: Any = [
        QUESTION,
        ("image", ("a.png", b"one")),
        ("image", ("b.png", b"two")),
        ("imu", ("walk.csv", b"rows")),
        ("imu_rate_hz", (None, "50")),
        ("max_tokens", (None, "99")),
        ("temperature", (None, "0.5")),
        ("seed", (None, "3")),
        ("stop", (None, "!")),
        ("stop", (None, ";")),
        ("system", (None, "Be brief.")),
    ]
    response = http.post(ASK, files=files)
    assert response.status_code == 200, response.text
    body = response.json()
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"]["content"] == "What is it? +3"
    sampling = engine.last_sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.seed) == (99, 0.5, 3)
    assert sampling.stop == ("!", ";")


def test_files_arrive_as_they_were_sent(http: httpx.Client, backend: Any, monkeypatch: Any) -> None:
    seen = []
    process = backend.to_sample
    object.__setattr__(
        backend, "to_sample", lambda talk, _: (seen.append(talk), process(talk, _))[1]
    )
    files: Any = [QUESTION, ("imu", ("a.csv", b"\x00\xff")), ("acceleration_unit", (None, "g"))]
    assert http.post(ASK, files=files).status_code == 200
    (part, words) = seen[0].messages[0].parts
    assert part.input_imu.url == "data:application/octet-stream;name=a.csv;base64,AP8="
    assert part.input_imu.acceleration_unit == "g"
    assert words.text == "What is it?"


def test_only_the_words(http: httpx.Client) -> None:
    response = http.post(ASK, files=[QUESTION], headers={"accept": "text/plain"})
    assert response.text == "What is it?"
    assert response.headers["content-type"].startswith("text/plain")


def test_stream(http: httpx.Client) -> None:
    response = http.post(ASK, files=[QUESTION, ("stream", (None, "true"))])
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ([], "question", "Field required"),
        ([QUESTION, ("picture", ("a.png", b"x"))], "picture", "not known"),
        ([QUESTION, ("temperature", (None, "9"))], "temperature", "less than or equal to 2"),
        ([QUESTION, ("max_tokens", (None, "many"))], "max_tokens", "whole number"),
        ([QUESTION, ("acceleration_unit", (None, "feet"))], "acceleration_unit", "'m/s2'"),
        ([QUESTION, ("image", (None, "words"))], "image", "image=@scene.png"),
        ([QUESTION, ("image", ("a.png", b"x")), ("image", (None, ""))], "image", "a file here"),
    ],
)
def test_refused_forms(http: httpx.Client, fields: Any, param: str, words: str) -> None:
    response = http.post(ASK, files=fields or [("seed", (None, "1"))])
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["param"].startswith(param)
    assert words in error["message"]


def test_a_field_where_no_file_was_chosen_is_absent(http: httpx.Client) -> None:
    form = (
        b'--x\r\nContent-Disposition: form-data; name="question"\r\n\r\nWhat is it?\r\n'
        b'--x\r\nContent-Disposition: form-data; name="image"; filename=""\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n\r\n--x--\r\n"
    )
    headers = {"content-type": "multipart/form-data; boundary=x"}
    response = http.post(ASK, content=form, headers=headers)
    assert response.status_code == 200, response.text
    assert response.json()["choices"][0]["message"]["content"] == "What is it?"


@pytest.mark.parametrize("system", [[], [("system", (None, "Be brief."))]])
def test_an_error_names_the_upload(
    http: httpx.Client, backend: Any, monkeypatch: Any, system: Any
) -> None:
    def read(talk: Any, decode: Any) -> Any:
        turn = talk.messages[-1]
        url = turn.parts[2].audio_url.url
        try:
            decode_audio(read_source(url, limits=Limits()), Limits())
        except MediaError as error:
            error.place = f"messages.{len(talk.messages) - 1}.content.2"
            raise

    object.__setattr__(backend, "to_sample", read)
    files: Any = [
        QUESTION,
        *system,
        ("image", ("a.png", b"one")),
        ("audio", ("b.wav", b"two")),
        ("audio", ("night owl; #3.wav", b"three")),
    ]
    error = http.post(ASK, files=files).json()["error"]
    assert error["param"] == "audio.1"
    assert error["message"].startswith("audio.1: night owl; #3.wav: found ")


def test_words_cannot_be_streamed_plain(http: httpx.Client) -> None:
    files: Any = [QUESTION, ("stream", (None, "true"))]
    response = http.post(ASK, files=files, headers={"accept": "text/plain"})
    assert response.json()["error"]["param"] == "stream"


def test_what_is_no_form_is_refused(http: httpx.Client) -> None:
    response = http.post(ASK, json={"question": "What is it?"})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "question"


def test_broken_form_is_refused(http: httpx.Client) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    response = http.post(ASK, content=b"--x\r\nno header", headers=headers)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_size_is_limited_while_reading(make_http: Callable[..., httpx.Client]) -> None:
    with make_http(max_body_bytes=1000) as http:
        response = http.post(ASK, files=[QUESTION, ("image", ("a.png", b"x" * 1000))])
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "body_too_large"


def test_what_is_wrong_with_the_whole_is_told_of_the_question(http: httpx.Client) -> None:
    error = http.post("/v1/ask", data={"question": "too long"}).json()["error"]
    assert (error["param"], error["code"]) == ("question", "context_length_exceeded")
