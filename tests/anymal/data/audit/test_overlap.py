"""Copies of training media in evaluation data."""

import base64
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from anymal.data.audit.overlap import Match, Unread, find_overlap
from anymal.data.registry import open_rows
from anymal.data.rows import Rows
from anymal.playground import sources
from anymal.recipe.data_entry import DataRecipe
from tests.anymal.data.checks.planted import film, motion, picture, sound

PART_TYPES = {"mp4": "video_url", "wav": "audio_url", "csv": "input_imu"}


def data_set(folder: Path, files: Mapping[str, bytes]) -> Rows:
    """A data file with a row for each medium."""
    folder.mkdir(parents=True)
    rows = []
    for name, data in files.items():
        (folder / name).write_bytes(data)
        kind = PART_TYPES.get(name.rpartition(".")[2], "image_url")
        content: list[Any] = [{"type": kind, kind: {"url": name}}]
        rows.append({"messages": [{"role": "user", "content": content}]})
    path = folder / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return open_rows(DataRecipe(manifest=str(path)))


def pictures(split: Any, size: int) -> list[bytes]:
    """Generated scenes of several shapes, as PNG."""
    made = sources.several_shapes(split=split, size=size)
    urls = [record["messages"][0]["content"][0]["image_url"]["url"] for record in made]
    return [base64.b64decode(url.partition(",")[2]) for url in urls]


def re_encoded(data: bytes, number: int) -> bytes:
    """The picture in another size and format."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    side = (64, 72, 144, 200)[number % 4]
    file = io.BytesIO()
    image.resize((side, side), Image.Resampling.BICUBIC).save(file, ("JPEG", "WEBP")[number % 2])
    return file.getvalue()


def overlap(training: Rows, evaluation: Rows) -> list[Match]:
    return list(find_overlap([training], [evaluation], Unread()))


def planted(folder: Path, *, size: int, copies: int) -> tuple[Rows, Rows, set[str]]:
    """Training and evaluation data of a size each; half of the copies are re-encoded."""
    training = {f"t{n}.png": data for n, data in enumerate(pictures("train", size))}
    evaluation = {f"e{n}.png": data for n, data in enumerate(pictures("heldout", size - copies))}
    expected = set()
    for number in range(copies):
        name = f"t{number * (size // copies)}.png"
        data = training[name]
        copy = f"c{number}.{'png' if number % 2 else 'jpg'}"
        evaluation[copy] = data if number % 2 else re_encoded(data, number // 2)
        expected.add(f"{copy} {name}")
    sets = (data_set(folder / "t", training), data_set(folder / "e", evaluation))
    return *sets, expected


def pairs(matches: list[Match]) -> list[str]:
    """Names of the files that match, sorted."""
    names = [
        [place.rpartition("(")[2].rstrip(")") for place in (match.evaluation, match.training)]
        for match in matches
    ]
    return sorted(map(" ".join, names))


def test_planted_copies_are_found_and_nothing_else(tmp_path: Path) -> None:
    training, evaluation, expected = planted(tmp_path, size=60, copies=8)
    found = overlap(training, evaluation)
    assert pairs(found) == sorted(expected)
    assert sorted(match.how for match in found) == ["looks alike"] * 4 + ["the same bytes"] * 4


@pytest.mark.slow
def test_twenty_copies_among_two_thousand_images(tmp_path: Path) -> None:
    training, evaluation, expected = planted(tmp_path, size=1000, copies=20)
    assert pairs(overlap(training, evaluation)) == sorted(expected)


def test_sounds_and_motion_are_compared_by_their_bytes(tmp_path: Path) -> None:
    training = data_set(tmp_path / "t", {"a.wav": sound(1), "b.csv": motion()})
    evaluation = data_set(tmp_path / "e", {"x.csv": motion(), "y.wav": sound(2), "z.wav": sound(1)})
    found = overlap(training, evaluation)
    assert pairs(found) == ["x.csv b.csv", "z.wav a.wav"]
    assert {match.modality for match in found} == {"audio", "imu"}


def test_a_picture_of_a_film_is_found(tmp_path: Path) -> None:
    still = np.asarray(picture(0, side=8).resize((64, 64), Image.Resampling.BICUBIC))
    file = io.BytesIO()
    Image.fromarray(still).save(file, "PNG")
    training = data_set(tmp_path / "t", {"film.mp4": still_film(still), "other.mp4": film(200)})
    evaluation = data_set(tmp_path / "e", {"still.png": file.getvalue()})
    (match,) = overlap(training, evaluation)
    assert "(still.png)" in match.evaluation
    assert "(film.mp4)" in match.training


def still_film(pixels: Any) -> bytes:
    """A film of one picture."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.height, stream.width = pixels.shape[:2]
        for _ in range(8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def test_what_cannot_be_read_is_counted(tmp_path: Path) -> None:
    good = pictures("train", 1)[0]
    training = data_set(tmp_path / "t", {"a.png": good, "b.png": b"<html>"})
    evaluation = data_set(tmp_path / "e", {"c.png": good[:100]})
    unread = Unread()
    assert list(find_overlap([training], [evaluation], unread)) == []
    assert unread.count == 2
