"""What the text model is asked: for pairs about a caption, and for an answer without it.

After AnyMAL (arXiv 2309.16058), section 3.2. The words are ours. Does not send anything.
"""

import json
from collections.abc import Mapping
from typing import Any

from anymal.data.media_folder import is_list
from anymal.errors import DataError

_PAIRS = """\
Below is a description of a recording. Write {count} questions about the recording and their \
answers.

- Ask as someone who sees or hears the recording. Never mention the description.
- Nobody can answer a question without the recording, and the description settles its answer.
- Vary the questions: what there is, how many, where, what happens, why, and what follows from it.
- Answer in one or two sentences.

Reply with a JSON array and nothing else:
[{{"question": "...", "answer": "..."}}]

Description:
{caption}"""
_BOXES = "\n\nObjects and their places:\n{boxes}"
_BLIND = """\
Answer this question about a recording that you cannot see or hear. Give your best guess in a few \
words, and nothing else.

{question}"""


def pairs_prompt(record: Mapping[str, Any], count: int) -> str:
    """Ask for pairs about one record.

    Args:
        record: The assistant's words are its caption; `meta.boxes`, where there is one, follows.
        count: How many pairs to ask for.

    Raises:
        DataError: The assistant says nothing in it.
    """
    words = [_text(one.get("content")) for one in record["messages"] if one["role"] == "assistant"]
    caption = "\n".join(filter(None, words))
    if not caption:
        raise DataError("the assistant says nothing here, so there is no caption to ask about")
    prompt = _PAIRS.format(count=count, caption=caption)
    boxes = (record.get("meta") or {}).get("boxes")
    if not boxes:
        return prompt
    text = boxes if isinstance(boxes, str) else json.dumps(boxes, ensure_ascii=False)
    return prompt + _BOXES.format(boxes=text)


def blind_prompt(question: str) -> str:
    """Ask a question without the caption."""
    return _BLIND.format(question=question)


def _text(content: Any) -> str:
    """The words of a message."""
    parts = content if is_list(content) else [{"type": "text", "text": content or ""}]
    return "".join(part["text"] for part in parts if part["type"] == "text").strip()
