"""Calls of LangChain's package for OpenAI, through both APIs.

Does not judge answers, beyond that there is one.
"""

from functools import partial
from typing import Any

from benchmarks.clients.questions import (
    IMAGE,
    IMAGE_PART,
    IMAGE_URL,
    MAX_TOKENS,
    MOTION_PART,
    QUESTION,
    SOUND,
    SOUND_PART,
    WALK,
    Call,
    said,
)

TONE = {"mime_type": "audio/wav", "base64": SOUND}
BLOCKS: dict[str, dict[str, Any]] = {
    "image block": {"type": "image", "mime_type": "image/png", "base64": IMAGE},
    "image block, older": {
        "type": "image",
        "source_type": "base64",
        "mime_type": "image/png",
        "data": IMAGE,
    },
    "image block, URL": {"type": "image", "url": IMAGE_URL},
    "audio block": {"type": "audio", **TONE},
    "file block": {"type": "file", "filename": "tone.wav", **TONE},
    "motion file": {
        "type": "file",
        "filename": "walk.csv",
        "mime_type": "text/csv",
        "base64": WALK,
    },
    "OpenAI's image part": IMAGE_PART,
    "OpenAI's audio part": SOUND_PART,
    "motion part": MOTION_PART,
}
# LangChain leaves these out of a request to the Responses API, without a word; files go there.
CHAT_ONLY = {"audio block", "OpenAI's audio part", "motion part"}


class LangChainCalls:
    """One chat model for each API, and what they ask."""

    def __init__(self, url: str, model: str) -> None:
        """Makes the chat models.

        Args:
            url: Of the API.
            model: What answers.
        """
        from langchain_core import messages
        from langchain_openai import ChatOpenAI

        self._messages = messages
        where: dict[str, Any] = {"model": model, "base_url": url, "api_key": "none"}
        chat = {**where, "max_tokens": MAX_TOKENS, "max_retries": 0}
        response = {**where, "max_tokens": 16, "max_retries": 0, "use_responses_api": True}
        options = {"temperature": 0.5, "top_p": 0.9}
        likely = {"logprobs": True, "top_logprobs": 2}
        self._models = {"chat": ChatOpenAI(**chat), "responses": ChatOpenAI(**response)}
        self._with_options = {
            "chat, options": ChatOpenAI(**chat, **options, seed=3, stop=["\n\n\n"]),
            "chat, logprobs": ChatOpenAI(**chat, **likely),
            "responses, options": ChatOpenAI(
                **response, **options, store=False, output_version="responses/v1"
            ),
        }

    def calls(self) -> dict[str, Call]:
        """All calls by name."""
        picture = self._human(IMAGE_PART)
        found: dict[str, Call] = {}
        for api, llm in self._models.items():
            names = BLOCKS.keys() - CHAT_ONLY if api == "responses" else BLOCKS.keys()
            for name in sorted(names):
                found[f"{api}, {name}"] = partial(self._invoke, llm, self._human(BLOCKS[name]))
            found[f"{api}, second turn"] = partial(self._again, llm, picture)
            found[f"{api}, stream"] = partial(self._stream, llm, picture)
            found[f"{api}, batch"] = partial(self._batch, llm, picture)
            found[f"{api}, ainvoke"] = partial(self._invoke_async, llm, picture)
            found[f"{api}, astream"] = partial(self._stream_async, llm, picture)
        for name, llm in self._with_options.items():
            found[name] = partial(self._invoke, llm, picture)
        return found

    def _human(self, block: dict[str, Any]) -> Any:
        return self._messages.HumanMessage(content=[block, {"type": "text", "text": QUESTION}])

    def _invoke(self, llm: Any, *messages: Any) -> None:
        said(llm.invoke(list(messages)).text)

    def _again(self, llm: Any, picture: Any) -> None:
        before = self._messages.SystemMessage("Answer briefly.")
        answer = llm.invoke([before, picture])
        after = self._messages.HumanMessage("Are you sure?", name="ada")
        self._invoke(llm, before, picture, answer, after)

    def _stream(self, llm: Any, picture: Any) -> None:
        said("".join(chunk.text for chunk in llm.stream([picture])))

    def _batch(self, llm: Any, picture: Any) -> None:
        for answer in llm.batch([[picture], [picture]]):
            said(answer.text)

    async def _invoke_async(self, llm: Any, picture: Any) -> None:
        said((await llm.ainvoke([picture])).text)

    async def _stream_async(self, llm: Any, picture: Any) -> None:
        said("".join([chunk.text async for chunk in llm.astream([picture])]))
