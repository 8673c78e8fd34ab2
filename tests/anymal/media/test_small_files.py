"""Small files that would fill memory or time are refused, or decoded in little of both."""

from collections.abc import Callable
from functools import partial

import pytest

from tests.anymal.media import small_files, small_films
from tests.anymal.media.measured import measure

MOST_MIB = 300
# Of processor time; the system ends a process that takes more.
MOST_S = 20

REFUSED: list[tuple[str, Callable[[], bytes], str]] = [
    ("audio", small_files.fast_flac, "samples or more"),
    ("image", small_files.progressive_jpeg, "5,001 scans"),
    ("image", small_files.jpeg_markers, "10,000 parts"),
    ("image", small_files.many_chunks_png, "100,000 chunks"),
    ("imu", small_files.lines_by_return, "rows or more"),
    ("imu", small_files.lines_by_other, "rows or more"),
    ("imu", small_files.many_values, "memory of 2,600,002 lists"),
    ("imu", small_files.many_keys, "20,000 columns"),
    ("video", small_films.many_samples, "50,000,000 packets"),
    ("video", small_films.many_edits, "60,000,000 entries"),
    ("video", small_films.overlapping_samples, "more than 8 times"),
    ("video", small_films.many_fragment_samples, "50,000,000 packets"),
    ("video", small_films.packed_head, "a packed head"),
    ("video", small_films.many_words, "words"),
    ("video", small_films.many_tracks, "65 tracks"),
    ("video", small_films.many_tag_names, "words"),
    ("video", small_films.many_cues, "pieces"),
    ("video", small_films.many_blocks, "packets"),
    ("video", small_films.laced_blocks, "packets"),
    ("video", small_films.scans_in_film, "201 scans"),
    ("audio", small_films.many_per_chunk, "0.0000 of 1.0000 seconds"),
]
DECODED = [
    ("audio", partial(small_files.silent_flac, 48_000, 120, 2)),
    ("image", partial(small_files.flat, "PNG", "RGB", 4000)),
    ("image", partial(small_files.flat, "PNG", "I;16", 4000)),
    ("video", small_films.gif_film),
    ("video", small_films.matroska),
    pytest.param("audio", small_files.stereo_flac, marks=pytest.mark.slow),
    pytest.param("audio", small_files.wide_flac, marks=pytest.mark.slow),
    pytest.param("image", small_files.flat, marks=pytest.mark.slow),
    pytest.param("image", partial(small_files.flat, "PNG", "RGBA", 7900), marks=pytest.mark.slow),
    pytest.param("video", partial(small_films.gif_film, 3000, 100), marks=pytest.mark.slow),
]


@pytest.mark.parametrize(
    ("kind", "make", "words"), REFUSED, ids=[make.__name__ for _, make, _ in REFUSED]
)
def test_is_refused_in_little_memory(kind: str, make: Callable[[], bytes], words: str) -> None:
    outcome = measure(kind, make, MOST_S)
    assert words in outcome.refusal
    assert len(outcome.refusal) < 600
    assert outcome.grown_mib < MOST_MIB


@pytest.mark.parametrize(("kind", "make"), DECODED)
def test_is_decoded_in_little_memory(kind: str, make: Callable[[], bytes]) -> None:
    outcome = measure(kind, make, MOST_S)
    assert outcome.refusal == ""
    assert outcome.grown_mib < MOST_MIB
