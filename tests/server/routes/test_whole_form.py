"""A form that lost its end is refused; the reader alone would leave its last field out."""

import httpx
import pytest

FORM = httpx.Request(
    "POST",
    "http://anymal/v1/ask",
    files=[("question", (None, "What is it?")), ("image", ("a.png", b"one"))],
)
BODY = FORM.read()


HEADERS = {"content-type": FORM.headers["content-type"]}


@pytest.mark.parametrize("lost", [3, 10, 40, 45, 60])
def test_a_form_that_was_cut_is_refused(http: httpx.Client, lost: int) -> None:
    response = http.post("/v1/ask", content=BODY[:-lost], headers=HEADERS)
    assert response.status_code == 400
    assert "the form was cut short" in response.json()["error"]["message"]


@pytest.mark.parametrize("body", [BODY, BODY[:-2], BODY + b"\r\n"])
def test_a_whole_form_is_read(http: httpx.Client, body: bytes) -> None:
    response = http.post("/v1/ask", content=body, headers=HEADERS)
    assert response.json()["choices"][0]["message"]["content"] == "What is it? +1"
