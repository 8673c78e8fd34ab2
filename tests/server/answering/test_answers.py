"""Several answers to one prompt, options of drawing them, and what is told of their tokens."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from anymal.engine.events import Finished, TokenCounts
from anymal.engine.sampling import Sampling
from server.answering.answers import samplings_of

CHAT = "/v1/chat/completions"


def ask(text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


def chunks_of(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    *blocks, done = [block.removeprefix("data: ") for block in response.text.strip().split("\n\n")]
    assert done == "[DONE]"
    return [json.loads(block) for block in blocks]


def test_several_answers_share_one_prompt(http: httpx.Client, engine: Any) -> None:
    body = http.post(CHAT, json=ask("sunny", n=3, seed=5, temperature=1)).json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert {choice["message"]["content"] for choice in body["choices"]} == {"sunny"}
    assert body["usage"] == {
        "prompt_tokens": 35,
        "completion_tokens": 15,
        "total_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 0, "text_tokens": 3, "image_tokens": 32},
    }
    seeds = [sampling.seed for sampling in engine.samplings]
    assert seeds[0] == 5
    assert len(set(seeds)) == 3


def test_seeds_of_several_answers_repeat_and_do_not_overlap() -> None:
    first, again, other = (
        [each.seed for each in samplings_of(Sampling(seed=seed), 8)] for seed in (1, 1, 2)
    )
    assert first == again
    assert first[0] == 1
    assert len({*first, *other}) == 16
    assert all(0 <= seed < 2**63 for seed in first if seed is not None)
    assert [each.seed for each in samplings_of(Sampling(), 2)] == [None, None]


def test_several_answers_stream_with_their_indices(http: httpx.Client) -> None:
    body = ask("sun", n=2, stream=True, stream_options={"include_usage": True})
    *chunks, last = chunks_of(http.post(CHAT, json=body))
    assert last["usage"]["completion_tokens"] == 6
    choices = [chunk["choices"][0] for chunk in chunks]
    for index in (0, 1):
        own = [choice for choice in choices if choice["index"] == index]
        assert own[0]["delta"] == {"role": "assistant", "content": ""}
        assert "".join(choice["delta"].get("content", "") for choice in own) == "sun"
        assert [choice["finish_reason"] for choice in own if choice["finish_reason"]] == ["stop"]


def test_a_failure_ends_all_answers(http: httpx.Client, engine: Any) -> None:
    response = http.post(CHAT, json=ask("hi # there", n=2))
    assert response.status_code == 500
    assert all(ticket.is_cancelled for ticket in engine.tickets)


def test_options_reach_the_engine(http: httpx.Client, engine: Any) -> None:
    options = {
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 40,
        "repetition_penalty": 1.1,
        "presence_penalty": -0.5,
        "frequency_penalty": 0.5,
        "ignore_eos": True,
        "stop_repetition": True,
        "seed": 7,
    }
    http.post(CHAT, json=ask(max_completion_tokens=9, logprobs=True, top_logprobs=2, **options))
    assert engine.last_sampling == Sampling(max_tokens=9, logprobs=2, **options)
    http.post(CHAT, json=ask(top_k=-1))
    assert engine.last_sampling == Sampling()


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_repeats_itself_has_stopped_for_clients(
    http: httpx.Client, engine: Any, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    counts = TokenCounts(prompt=3, completion=24)

    def say(*_: Any) -> Iterator[Finished]:
        yield Finished(reason="repetition", counts=counts)

    monkeypatch.setitem(type(engine).start.__globals__, "say", say)
    response = http.post(CHAT, json=ask(stop_repetition=True, stream=stream))
    choices = (chunks_of(response)[-1] if stream else response.json())["choices"]
    assert [choice["finish_reason"] for choice in choices] == ["stop"]


def test_logprobs_in_the_shape_of_openai(http: httpx.Client) -> None:
    choice = http.post(CHAT, json=ask("\xfc!", logprobs=True, top_logprobs=2)).json()["choices"][0]
    assert choice["logprobs"]["refusal"] is None
    first, second = choice["logprobs"]["content"]
    assert first == {
        "token": "\xfc",
        "bytes": [0xC3, 0xBC],
        "logprob": -0.5,
        "top_logprobs": [
            {"token": "\xfc", "bytes": [0xC3, 0xBC], "logprob": -0.5},
            {"token": "\ufffd", "bytes": [0xC3], "logprob": -9999.0},
        ],
    }
    assert second["token"] == "!"
    bare = http.post(CHAT, json=ask("ab", logprobs=True)).json()["choices"][0]["logprobs"]
    assert [each["top_logprobs"] for each in bare["content"]] == [[], []]


def test_streamed_logprobs_join_to_the_whole(http: httpx.Client) -> None:
    options = {"logprobs": True, "top_logprobs": 1}
    whole = http.post(CHAT, json=ask("sun", **options)).json()["choices"][0]["logprobs"]["content"]
    chunks = chunks_of(http.post(CHAT, json=ask("sun", stream=True, **options)))
    said = [chunk["choices"][0]["logprobs"] for chunk in chunks]
    assert [each for logprobs in said if logprobs for each in logprobs["content"]] == whole


def test_more_answers_than_the_house_holds_are_refused(
    make_http: Callable[..., httpx.Client],
) -> None:
    with make_http(max_requests=2) as http:
        assert http.post(CHAT, json=ask(n=2)).status_code == 200
        response = http.post(CHAT, json=ask(n=3))
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "n"


@pytest.mark.parametrize("role", ["system", "developer"])
def test_instructions_may_come_first(http: httpx.Client, role: str) -> None:
    messages = [{"role": role, "content": "Be brief."}, {"role": "user", "content": "hello"}]
    assert http.post(CHAT, json={"messages": messages}).status_code == 200
