"""Calls of LiteLLM through its provider for services like OpenAI's.

Does not judge answers, beyond that there is one.
"""

import os
from typing import Any

from benchmarks.clients.questions import (
    FILE_PART,
    IMAGE_PART,
    IMAGE_URL,
    MAX_TOKENS,
    RESPONSE_IMAGE,
    SOUND_PART,
    Call,
    items,
    said,
    talk,
    turns,
)

OPTIONS: dict[str, Any] = {
    "temperature": 0.5,
    "top_p": 0.9,
    "seed": 3,
    "n": 2,
    "user": "ada",
    "stop": ["\n\n\n"],
}


class LiteLLMCalls:
    """What LiteLLM asks."""

    def __init__(self, url: str, model: str) -> None:
        """Imports the package.

        Args:
            url: Of the API.
            model: What answers.
        """
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # no network
        import litellm

        litellm.suppress_debug_info = True
        self._litellm = litellm
        where = {"model": f"openai/{model}", "api_base": url, "api_key": "none", "num_retries": 0}
        self._chat: dict[str, Any] = {**where, "max_tokens": MAX_TOKENS}
        self._response: dict[str, Any] = {**where, "max_output_tokens": 16}

    def calls(self) -> dict[str, Call]:
        """All calls by name."""
        bare = {"type": "image_url", "image_url": IMAGE_URL}
        return {
            "completion, image": lambda: self._whole(turns(IMAGE_PART)),
            "completion, bare image URL": lambda: self._whole(turns(bare)),
            "completion, sound": lambda: self._whole(turns(SOUND_PART)),
            "completion, file": lambda: self._whole(turns(FILE_PART)),
            "completion, conversation": lambda: self._whole(talk(IMAGE_PART)),
            "completion, options": lambda: self._whole(turns(IMAGE_PART), **OPTIONS),
            "completion, stream": self._stream,
            "completion, second turn": self._again,
            "completion, second turn, mapping": lambda: self._again(is_mapping=True),
            "acompletion": self._whole_async,
            "acompletion, stream": self._stream_async,
            "batch_completion": self._batch,
            "responses": self._respond,
            "responses, stream": self._respond_stream,
            "aresponses": self._respond_async,
        }

    def _whole(self, messages: list[Any], **more: Any) -> None:
        answer = self._litellm.completion(messages=messages, **self._chat, **more)
        said(answer.choices[0].message.content)

    def _stream(self) -> None:
        stream = self._litellm.completion(
            messages=turns(IMAGE_PART),
            stream=True,
            stream_options={"include_usage": True},
            **self._chat,
        )
        said("".join(c.choices[0].delta.content or "" for c in stream if c.choices))

    def _again(self, *, is_mapping: bool = False) -> None:
        question = turns(IMAGE_PART)
        answer = self._litellm.completion(messages=question, **self._chat).choices[0].message
        sent = answer.model_dump() if is_mapping else answer
        self._whole([*question, sent, {"role": "user", "content": "Are you sure?"}])

    async def _whole_async(self) -> None:
        answer = await self._litellm.acompletion(messages=turns(IMAGE_PART), **self._chat)
        said(answer.choices[0].message.content)

    async def _stream_async(self) -> None:
        ask = self._litellm.acompletion
        chunks = await ask(messages=turns(IMAGE_PART), stream=True, **self._chat)
        said("".join([c.choices[0].delta.content or "" async for c in chunks if c.choices]))

    def _batch(self) -> None:
        questions = [turns(IMAGE_PART), turns(SOUND_PART)]
        for answer in self._litellm.batch_completion(messages=questions, **self._chat):
            said(answer.choices[0].message.content)

    def _respond(self) -> None:
        answer = self._litellm.responses(input=items(RESPONSE_IMAGE), **self._response)
        said(answer.output[0].content[0].text)

    def _respond_stream(self) -> None:
        ask = self._litellm.responses
        events = ask(input=items(RESPONSE_IMAGE), stream=True, **self._response)
        said("".join(e.delta for e in events if e.type == "response.output_text.delta"))

    async def _respond_async(self) -> None:
        answer = await self._litellm.aresponses(input=items(RESPONSE_IMAGE), **self._response)
        said(answer.output[0].content[0].text)
