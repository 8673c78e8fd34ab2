"""A data file with each mistake once, and good rows between them. Holds no tests."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from PIL import Image

RATE_HZ = 50


def row(*parts: dict[str, Any], answer: str = "It is a picture.", asks: str = "What?") -> Any:
    """A row that asks about some media."""
    content = [*parts, {"type": "text", "text": asks}]
    return {
        "messages": [
            {"role": "user", "content": content},
            {"role": "assistant", "content": answer},
        ]
    }


def medium(kind: str, url: str, **options: Any) -> dict[str, Any]:
    return {"type": kind, kind: {"url": url, **options}}


def picture(seed: int, side: int = 24) -> Image.Image:
    """Coloured noise, different for each seed."""
    noise = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def sound(seed: int, loudness: float = 0.5) -> bytes:
    file = io.BytesIO()
    samples = np.random.default_rng(seed).uniform(-loudness, loudness, 800)
    soundfile.write(file, samples, 8000, format="WAV")
    return file.getvalue()


def film(brightness: int) -> bytes:
    """Eight frames that get brighter, up to some brightness."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width = stream.height = 32
        for number in range(8):
            pixels = np.full((32, 32, 3), brightness * number // 8, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def motion(change: Callable[[Any, Any], None] = lambda times, values: None) -> bytes:
    """Two seconds of a phone that is held still by a hand, changed in place; times and values."""
    rng = np.random.default_rng(0)
    times = np.arange(2 * RATE_HZ) / RATE_HZ
    values = rng.normal(0, 0.1, (len(times), 6))
    values[:, 2] += 9.81
    change(times, values)
    lines = ["t_s,ax,ay,az,gx,gy,gz"]
    lines += [",".join(map(str, [time, *row])) for time, row in zip(times, values, strict=True)]
    return "\n".join(lines).encode()


def in_g(times: Any, values: Any) -> None:
    values[:, :3] /= 9.81


def in_degrees(times: Any, values: Any) -> None:
    values[:, 3:] = 40.0


def with_nan(times: Any, values: Any) -> None:
    values[7, 1] = np.nan


def backward(times: Any, values: Any) -> None:
    times[50:] -= 0.9


def plant(folder: Path) -> dict[int, str]:
    """Write `train.jsonl` and its media; returns the kind of mistake by line."""
    files = {
        "good.png": encoded(picture(0)),
        "good.wav": sound(0),
        "good.mp4": film(200),
        "good.csv": motion(),
        "empty.png": b"",
        "page.png": b"<html>not found</html>",
        "cut.png": encoded(picture(1))[:900],
        "cut.wav": sound(2)[:700],
        "torn.jpg": encoded(picture(3), "JPEG")[:200],
        "photo.png": encoded(picture(4), "JPEG"),
        "black.png": encoded(Image.new("RGB", (24, 24))),
        "silent.wav": sound(5, loudness=0.0),
        "black.mp4": film(0),
        "nan.csv": motion(with_nan),
        "in_g.csv": motion(in_g),
        "in_degrees.csv": motion(in_degrees),
        "backward.csv": motion(backward),
    }
    media = folder / "media"
    media.mkdir()
    (folder / "outside.png").write_bytes(encoded(picture(6)))
    for name, data in files.items():
        (media / name).write_bytes(data)
    lines = list(planted_lines())
    text = "".join(f"{line}\n" for line, _ in lines)
    (folder / "train.jsonl").write_text(text)
    return {number: kind for number, (_, kind) in enumerate(lines, start=1) if kind}


def planted_lines() -> Any:
    """Lines and the mistake in each; good ones between them."""
    yield '{"messages": [', "unreadable"
    yield '["a list"]', "unreadable"
    for given, kind in [*_of_turns(), *_of_media(), *_between_rows()]:
        yield json.dumps(given), kind
    yield json.dumps(row(medium("image_url", "good.png"), answer="Yes.", asks="One more?")), ""


def _of_turns() -> Any:
    user = {"role": "user", "content": "Who?"}
    answer = {"role": "assistant", "content": "I."}
    yield {"messages": []}, "no_messages"
    yield {"messages": "Who? I."}, "not_a_list"
    yield {"messages": [user | {"role": "human"}, answer]}, "role"
    yield {"messages": [user, user | {"content": "And why?"}, answer]}, "same_role"
    yield {"messages": [user | {"content": "Nobody answers."}]}, "no_answer"
    yield {"messages": [user | {"content": "A?"}, answer | {"content": " \n"}]}, "blank_answer"
    yield {"messages": [user | {"content": "See <image>?"}, answer]}, "placeholder"
    yield {"messages": [user | {"content": "B?"}, answer | {"content": "<audio>!"}]}, "placeholder"
    shown = [medium("image_url", "good.png"), {"type": "text", "text": "This."}]
    turns = [user | {"content": "Show it."}, answer | {"content": shown}]
    yield {"messages": turns}, "medium_in_answer"
    yield {"messages": [user | {"content": "D?"}, answer | {"loss": False}]}, "no_answer"
    yield {"messages": [user | {"content": "E?"}, answer], "image": "good.png"}, "unknown_key"
    yield {"messages": [user | {"content": {"text": "C?"}}, answer]}, "shape"
    yield {"messages": [{"role": "user", "content": "Good?"}, answer]}, ""
    pair = {"chosen": "Yes.", "rejected": "No."}
    yield {"messages": [user | {"content": "F?"}], **pair}, ""
    yield {"messages": [user | {"content": "F?"}], **pair, "rejected": "Never."}, ""
    yield {"messages": [user | {"content": "F?"}], **pair, "rejected": "Yes."}, "same_answers"
    yield {"messages": [user | {"content": "F?"}, answer], **pair}, "no_question"
    yield {"messages": [user | {"content": "F?"}], **pair}, "row_twice"
    completions = [{"text": "Yes.", "score": 4}, {"text": "No.", "score": "bad"}]
    yield {"messages": [user | {"content": "G?"}], "completions": completions}, "completions"


def _of_media() -> Any:
    for name, kind in (
        ("good.png", ""),
        ("none.png", "missing"),
        ("../outside.png", "outside"),
        ("empty.png", "empty"),
        ("page.png", "unsupported"),
        ("cut.png", "broken"),
        ("torn.jpg", "broken"),
        ("photo.png", "misnamed"),
        ("black.png", "blank"),
    ):
        yield row(medium("image_url", name), asks=f"An image, {name}?"), kind
    for name, kind in (("good.wav", ""), ("cut.wav", "broken"), ("silent.wav", "blank")):
        yield row(medium("audio_url", name), asks=f"A sound, {name}?"), kind
    for name, kind in (("good.mp4", ""), ("black.mp4", "blank")):
        yield row(medium("video_url", name), asks=f"A film, {name}?"), kind
    for name, kind, options in (
        ("good.csv", "", {}),
        ("nan.csv", "broken", {}),
        ("backward.csv", "broken", {}),
        ("in_g.csv", "units", {"acceleration_unit": "m/s2"}),
        ("in_degrees.csv", "units", {}),
        ("good.csv", "unsupported", {"rate_hz": 90.0}),
    ):
        yield row(medium("input_imu", name, **options), asks=f"{name} {options}?"), kind


def _between_rows() -> Any:
    asked = row(medium("image_url", "good.png"), asks="Is it day?", answer="Yes.") | {"id": "a"}
    yield asked, ""
    yield asked, "row_twice"
    yield (
        row(medium("image_url", "good.png"), asks="Is it late?", answer="No.") | {"id": "a"},
        ("id_twice"),
    )
    yield (
        row(medium("image_url", "good.png"), asks="Is it day?", answer="No.") | {"id": "b"},
        ("two_answers"),
    )
