"""A list of pictures as a film: nothing is lost on the way."""

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from anymal.data.media_folder import media_part, with_films
from anymal.errors import DataError, MediaForbidden, MediaNotFound
from anymal.media.frames import film_of
from anymal.media.limits import Limits
from anymal.media.source import Source, read_source
from anymal.media.video import decode_video


def noise(number: int, width: int = 31, height: int = 17) -> NDArray[np.uint8]:
    values = np.random.default_rng(number).integers(0, 256, (height, width, 3))
    return values.astype(np.uint8)


def picture(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_a_film_shows_its_frames_unchanged_a_second_each() -> None:
    frames = [noise(number) for number in range(5)]
    sources = [Source(name=f"{i}", data=picture(frame)) for i, frame in enumerate(frames)]
    film = decode_video(Source(name="film", data=film_of(sources, Limits())), Limits(), 5)
    np.testing.assert_array_equal(film.frames, frames)
    np.testing.assert_allclose(film.times_s, range(5), atol=1e-3)


def test_frames_of_two_sizes_are_refused() -> None:
    sizes = [(31, 17), (30, 17)]
    sources = [Source(name=f"{w}.png", data=picture(noise(1, w, h))) for w, h in sizes]
    with pytest.raises(DataError, match=r"30\.png has 30 x 17 pixels, and .* 31 x 17"):
        film_of(sources, Limits())


def test_a_list_of_paths_becomes_a_film_inside_the_media_folder(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    for number in range(3):
        (tmp_path / "media" / f"{number}.png").write_bytes(picture(noise(number)))
    paths = ["0.png", str(tmp_path / "media" / "1.png"), "2.png"]
    message = {"role": "user", "content": [media_part("video", paths)]}
    plain = {"role": "assistant", "content": "Noise."}
    (asked, answer) = with_films([message, plain], tmp_path / "media")
    film = decode_video(
        read_source(asked["content"][0]["video_url"]["url"], limits=Limits()), Limits(), 3
    )
    np.testing.assert_array_equal(film.frames, [noise(number) for number in range(3)])
    assert answer == plain
    for path, error in [("../secret.png", MediaForbidden), ("none.png", MediaNotFound)]:
        with pytest.raises(error):
            with_films([user_of(path)], tmp_path / "media")


def user_of(path: str) -> dict[str, object]:
    return {"role": "user", "content": [media_part("video", ["0.png", path])]}
