"""Contractions whose apostrophe people forget, as the official VQA evaluation restores them.

Only those that it knows: "shed", "well" and "its" stay as they are.
"""

_ENDINGS = {
    "n't": "ai are ca could did does do had has have is might must need ought sha should was were "
    "wo would",
    "'ve": "could might must not should they we what where who would you",
    "'d": "he how it someone something there they where who you",
    "'ll": "how it somebody someone something they what who why y'all you",
    "'s": "he how somebody someone that there what when where who why",
    "'re": "there they what why you",
    "n't've": "could had might should would",
    "'d've": "he it she somebody someone something there they we who y'all you",
    "": "ma'am o'clock 'twas y'all 'ow's'at",
}


def _without_one(word: str) -> list[str]:
    """A word without one of its apostrophes, for each."""
    return [word[:place] + word[place + 1 :] for place, sign in enumerate(word) if sign == "'"]


CONTRACTIONS: dict[str, str] = {
    short: stem + ending
    for ending, stems in _ENDINGS.items()
    for stem in stems.split()
    for short in _without_one(stem + ending)
    # This one it takes away.
} | {"somebody'd": "somebodyd"}
