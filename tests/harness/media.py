"""Fuzzes the checks and header readers of media: containers, pictures, motion, soft tokens.

    python -m tests.harness.media --seconds 600 [--seed 1] [--replay FILE]

Decodes no films and no sounds: `tests.anymal.media.fuzz` does, without guidance.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.anymal.media.fuzz.motion_seeds import recordings
from tests.harness.guided import Harness, main


def seeds(folder: Path) -> list[bytes]:
    """Whole files of every kind, and soft tokens."""
    import torch
    from safetensors.torch import save

    from tests.anymal.media.fuzz.seeds import films, images, sounds
    from tests.anymal.media.made import film, picture

    make_film = partial(film, folder / "film")
    tokens = [save({"embeds": torch.ones(2, 8, dtype=kind)}) for kind in (torch.float, torch.half)]
    return [
        *images(picture),
        *films(make_film, picture),
        *sounds(make_film),
        *recordings(),
        *tokens,
    ]


def prepare(folder: Path) -> Callable[[bytes], str]:
    """Gives a file to all checks that its format passes on its way to a decoder."""
    from tests.harness.media_checks import check

    return check


if __name__ == "__main__":
    main(Harness(module="tests.harness.media", seeds=seeds, prepare=prepare, refuses_warnings=True))
