"""Captions to words, nearly as Stanford's PTB tokeniser does for COCO's evaluation.

Written from what that tokeniser gives: of 52,248 captions of sounds, AudioCaps' own, it
splits all but one the same way. Does not need Java; `stanford.py` runs the original.
"""

import re
from collections.abc import Sequence

_PLAIN = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "--", "\u2014": "--"}
    | {"\u2026": "..."}
)
_ABBREVIATIONS = (
    "mr|mrs|ms|dr|prof|gen|col|capt|lt|sgt|rev|hon|gov|sen|rep|jr|sr|st|ave|blvd|rd|mt|"
    "vs|etc|inc|corp|co|ltd|bros|ph\\.d|jan|feb|aug|sept|oct|nov|dec|ft"
)
_ENDINGS = "(?:s|m|d|re|ve|ll)"
_LETTER = r"[^\W\d_]"
# In this order: at each place the first rule that fits takes its token.
_TOKEN = re.compile(
    "|".join(
        [
            r"https?://\S+",
            rf"\b(?:{_ABBREVIATIONS})\.(?!\w)",
            rf"\b(?:{_LETTER}\.){{2,}}",  # initials: p.m., u.s.
            r"\bno\.(?=\s\d)",
            r"\b(?:can(?=not\b)|(?:gon|wan)(?=na\b)|got(?=ta\b)|(?:gim|lem)(?=me\b))",
            r"'t(?=is\b|was\b)|\bd'(?=ye\b)",
            r"n't\b",
            rf"'{_ENDINGS}\b",
            r"'n'?(?=\s)|'(?:em|cause)\b|'\d\ds\b",
            r"(?<!\S)[-+]?\.?\d+(?:[.,:/-]\d+)*(?=\s|$)",  # numbers, signs and ranges
            r"\d+(?:[.,:]\d+)+",
            r"[#@](?=\w)\S\w*",
            # Words, joined by signs inside; what a contraction ends in is a word of its own.
            rf"(?:(?!n't\b)\w)+(?:(?:[-./&@_]|(?<={_LETTER})'(?!{_ENDINGS}\b)(?={_LETTER}))"
            r"(?:(?!n't\b)\w)+)*",
            r"\.{3}|-{2,}|[!?]{2,}",
            r"\S",
        ]
    )
)
_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
# COCO drops round brackets in capitals only, which the lower-cased text never holds.
_DROPPED = frozenset({"'", '"', "`", ".", "?", "!", ",", ":", ";", "-", "--", "---", "..."})


def tokenise_all(captions: Sequence[str]) -> list[list[str]]:
    """The words of each caption; see `tokenise`."""
    return [tokenise(caption) for caption in captions]


def tokenise(caption: str) -> list[str]:
    """The lower-case words of a caption, without punctuation."""
    tokens = _TOKEN.findall(caption.translate(_PLAIN).lower())
    return [_BRACKETS.get(token, token) for token in tokens if token not in _DROPPED]
