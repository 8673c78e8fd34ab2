"""Prompts and the base model's replies to them, one after the other into a manifest.

Does not know how the model speaks; see `train.replies.speaker`.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from anymal.engine.sampling import Sampling
from anymal.errors import DataError
from train.replies.speaker import AT_A_TIME, Said

MIN_WORDS = 3  # of a prompt; less is no question
PROMPT_TOKENS = 120
# A model that makes the same prompts up again and again would never be done.
MOST_TRIES_EACH = 20
_ID = "reply-"


class Speaks(Protocol):
    """What makes up prompts and replies to them; `Speaker` does."""

    def make_up(self, sampling: Sequence[Sampling]) -> list[Said]:
        """See `Speaker.make_up`."""
        ...

    def reply(self, prompts: Sequence[str], sampling: Sequence[Sampling]) -> list[Said]:
        """See `Speaker.reply`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyOptions:
    """What is written.

    Attributes:
        size: How many records the file is to hold.
        seed: Of all that is drawn.
        max_tokens: Most tokens of a reply; a longer one is left out, because its end is missing.
        temperature: Of replies; prompts are drawn at 1.
        prompts: A user's words each; None has the model make them up.
    """

    size: int
    seed: int = 0
    max_tokens: int = 200
    temperature: float = 0.7
    prompts: Sequence[str] | None = None


def read_prompts(path: Path) -> list[str]:
    """Read prompts, one on each line that is not blank.

    Raises:
        DataError: There is no such file, or it has no prompt.
    """
    if not path.is_file():
        raise DataError(f"no file {str(path)!r}; give a text file with a prompt on each line")
    prompts = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    if not any(prompts):
        raise DataError(f"{str(path)!r} has no prompt; write one on each line")
    return list(dict.fromkeys(prompt for prompt in prompts if prompt))


def write_replies(
    path: Path,
    options: ReplyOptions,
    *,
    speaker: Callable[[], Speaks],
    done: Callable[[int], None] = lambda count: None,
) -> int:
    """Write records until there are enough; records that the file holds already are kept.

    Args:
        path: The manifest, JSONL; records are added a few at a time.
        options: What to write.
        speaker: Loads the model; called if records are missing.
        done: Called with the number of records, as it grows.

    Returns:
        How many records the file holds: fewer than wanted if the prompts ran out.

    Raises:
        DataError: The file is not such a manifest, or the model makes up too few prompts that are
            new.
    """
    known, first = _known(path)
    done(len(known))
    if len(known) >= options.size:
        return len(known)
    spoken = speaker()
    with path.open("a", encoding="utf-8") as file:
        for prompts in _new_prompts(spoken, options, known, first):
            draws = [
                Sampling(
                    max_tokens=options.max_tokens,
                    temperature=options.temperature,
                    seed=options.seed + draw,
                )
                for draw in prompts
            ]
            replies = spoken.reply(list(prompts.values()), draws)
            for (draw, prompt), said in zip(prompts.items(), replies, strict=True):
                if not said.is_whole or not said.text:
                    continue
                file.write(json.dumps(_record(prompt, said.text, draw=draw)) + "\n")
                known.add(prompt)
                done(len(known))
                if len(known) == options.size:
                    return len(known)
            file.flush()
    return len(known)


def _new_prompts(
    speaker: Speaks, options: ReplyOptions, known: set[str], first: int
) -> Iterator[dict[int, str]]:
    """Prompts that have no reply yet, some at a time, by the number of their draw."""
    if options.prompts is not None:
        for start in range(first, len(options.prompts), AT_A_TIME):
            some = enumerate(options.prompts[start : start + AT_A_TIME], start)
            yield {draw: prompt for draw, prompt in some if prompt not in known}
        return
    last = first + MOST_TRIES_EACH * options.size
    for start in range(first, last, AT_A_TIME):
        draws = [
            Sampling(max_tokens=PROMPT_TOKENS, temperature=1.0, seed=options.seed + draw)
            for draw in range(start, start + AT_A_TIME)
        ]
        new: dict[str, int] = {}
        for draw, said in enumerate(speaker.make_up(draws), start):
            if _is_prompt(said) and said.text not in known:
                new.setdefault(said.text, draw)
        if new:
            yield {draw: prompt for prompt, draw in new.items()}
    raise DataError(
        f"of {last - first} prompts that the model made up, too few were new and had a whole "
        f"reply: there are {len(known)}; ask for fewer with --size, or give --prompts FILE"
    )


def _is_prompt(said: Said) -> bool:
    return said.is_whole and len(said.text.split()) >= MIN_WORDS


def _record(prompt: str, reply: str, *, draw: int) -> dict[str, object]:
    return {
        "id": f"{_ID}{draw}",
        "messages": [
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": reply},
        ],
    }


def _known(path: Path) -> tuple[set[str], int]:
    """The prompts that a manifest holds, and the number of the draw after its last."""
    if not path.exists():
        return set(), 0
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        prompts = {str(row["messages"][0]["content"]) for row in rows}
        draws = [int(str(row["id"]).removeprefix(_ID)) for row in rows]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(
            f"{str(path)!r} was not written by this command ({error!r}); name another file, or "
            "delete it"
        ) from error
    return prompts, max(draws, default=-1) + 1
