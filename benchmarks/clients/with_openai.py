"""Calls of OpenAI's own package.

Does not judge answers, beyond that there is one.
"""

from typing import Any

from benchmarks.clients.questions import (
    FILE_PART,
    IMAGE_PART,
    MAX_TOKENS,
    MOTION_PART,
    RESPONSE_FILE,
    RESPONSE_IMAGE,
    SOUND_PART,
    Call,
    items,
    said,
    turns,
)

CHAT_OPTIONS: dict[str, Any] = {
    "n": 2,
    "seed": -1,
    "temperature": 0.7,
    "top_p": 0.9,
    "stop": ["\n\n\n"],
    "logprobs": True,
    "top_logprobs": 2,
    "user": "ada",
    "metadata": {"run": "7"},
    "store": False,
    "service_tier": "auto",
    "reasoning_effort": "low",
    "presence_penalty": 0.1,
    "frequency_penalty": 0.1,
    "response_format": {"type": "text"},
}
RESPONSE_OPTIONS: dict[str, Any] = {
    "instructions": "Answer briefly.",
    "temperature": 0.7,
    "top_p": 0.9,
    "store": True,
    "metadata": {"run": "7"},
    "include": ["message.output_text.logprobs"],
    "top_logprobs": 2,
    "text": {"format": {"type": "text"}, "verbosity": "low"},
    "truncation": "disabled",
    "reasoning": {"effort": "low"},
}


class OpenAICalls:
    """The package's two clients, and what they ask."""

    def __init__(self, url: str, model: str) -> None:
        """Makes the clients.

        Args:
            url: Of the API.
            model: What answers.
        """
        import openai

        self._error = openai.BadRequestError
        self._stock = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
        self._later = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
        self._chat: dict[str, Any] = {"model": model, "max_tokens": MAX_TOKENS}
        self._response: dict[str, Any] = {"model": model, "max_output_tokens": 16}

    def calls(self) -> dict[str, Call]:
        """All calls by name."""
        return {
            "chat, image": lambda: self._whole(IMAGE_PART),
            "chat, sound": lambda: self._whole(SOUND_PART),
            "chat, file": lambda: self._whole(FILE_PART),
            "chat, motion": lambda: self._whole(MOTION_PART),
            "chat, all options": lambda: self._whole(IMAGE_PART, **CHAT_OPTIONS),
            "chat, stream": self._stream,
            "chat, stream helper": self._helper,
            "chat, raw response": self._raw,
            "chat, async": self._whole_async,
            "chat, async stream": self._stream_async,
            "responses, image": lambda: self._respond(RESPONSE_IMAGE),
            "responses, file": lambda: self._respond(RESPONSE_FILE),
            "responses, sound": lambda: self._respond(SOUND_PART),
            "responses, motion": lambda: self._respond(MOTION_PART),
            "responses, all options": lambda: self._respond(RESPONSE_IMAGE, **RESPONSE_OPTIONS),
            "responses, second turn": self._respond_again,
            "responses, stream": self._respond_stream,
            "responses, stream helper": self._respond_helper,
            "responses, async": self._respond_async,
            "responses, async stream": self._respond_stream_async,
            "models": self._models,
            "an error": self._refusal,
        }

    def _whole(self, *parts: dict[str, Any], **more: Any) -> None:
        chat = {**self._chat, **more}
        answer = self._stock.chat.completions.create(messages=turns(*parts), **chat)
        assert answer.usage.completion_tokens > 0
        said(answer.choices[0].message.content)

    def _stream(self) -> None:
        stream = self._stock.chat.completions.create(
            messages=turns(IMAGE_PART),
            stream=True,
            stream_options={"include_usage": True},
            **self._chat,
        )
        chunks = list(stream)
        assert chunks[-1].usage is not None
        said("".join(c.choices[0].delta.content or "" for c in chunks if c.choices))

    def _helper(self) -> None:
        chat = {**self._chat, "max_tokens": 100}
        with self._stock.chat.completions.stream(messages=turns(IMAGE_PART), **chat) as events:
            said(events.get_final_completion().choices[0].message.content)

    def _raw(self) -> None:
        create = self._stock.chat.completions.with_raw_response.create
        raw = create(messages=turns(IMAGE_PART), **self._chat)
        said(raw.parse().choices[0].message.content)

    async def _whole_async(self) -> None:
        create = self._later.chat.completions.create
        answer = await create(messages=turns(IMAGE_PART), **self._chat)
        said(answer.choices[0].message.content)

    async def _stream_async(self) -> None:
        create = self._later.chat.completions.create
        chunks = await create(messages=turns(IMAGE_PART), stream=True, **self._chat)
        said("".join([c.choices[0].delta.content or "" async for c in chunks if c.choices]))

    def _respond(self, *parts: dict[str, Any], **more: Any) -> None:
        answer = self._stock.responses.create(input=items(*parts), **self._response, **more)
        assert answer.usage.output_tokens > 0
        said(answer.output_text)

    def _respond_again(self) -> None:
        question = items(RESPONSE_IMAGE)
        first = self._stock.responses.create(input=question, **self._response)
        again = [*question, *first.output, {"role": "user", "content": "Are you sure?"}]
        said(self._stock.responses.create(input=again, **self._response).output_text)

    def _respond_stream(self) -> None:
        create = self._stock.responses.create
        events = list(create(input=items(RESPONSE_IMAGE), stream=True, **self._response))
        assert events[-1].type in ("response.completed", "response.incomplete"), events[-1]
        said("".join(e.delta for e in events if e.type == "response.output_text.delta"))

    def _respond_helper(self) -> None:
        asked = {**self._response, "max_output_tokens": 100}
        with self._stock.responses.stream(input=items(RESPONSE_IMAGE), **asked) as events:
            said(events.get_final_response().output_text)

    async def _respond_async(self) -> None:
        create = self._later.responses.create
        said((await create(input=items(RESPONSE_IMAGE), **self._response)).output_text)

    async def _respond_stream_async(self) -> None:
        create = self._later.responses.create
        events = await create(input=items(RESPONSE_IMAGE), stream=True, **self._response)
        deltas = [e.delta async for e in events if e.type == "response.output_text.delta"]
        said("".join(deltas))

    def _models(self) -> None:
        names = [card.id for card in self._stock.models.list()]
        said(self._stock.models.retrieve(names[0]).id)

    def _refusal(self) -> None:
        try:
            self._stock.chat.completions.create(messages=[], **self._chat)
        except self._error as error:
            said(error.message)
        else:
            raise AssertionError("an empty conversation was answered")
