"""Media from files and from examples reach the service whole."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI

from anymal.playground.words import COLOURS


def test_a_file_of_each_kind(here: Any, files: dict[str, Path]) -> None:
    cards = {kind: here.attach(kind, path) for kind, path in files.items()}
    cards["image"].locator("img").wait_for()
    cards["audio"].get_by_role("img", name="Waveform of sound.wav").wait_for()
    cards["video"].get_by_role("img", name="6 frames of the clip clip.mp4").wait_for()
    for sensor in ("acceleration", "rotation"):
        cards["imu"].get_by_role("img", name=f"Traces of {sensor} of motion.csv").wait_for()
    facts = {kind: card.locator(".medium-facts").inner_text() for kind, card in cards.items()}
    assert facts["image"] == "96 x 96"
    assert facts["video"] == "2.0 s"
    assert facts["imu"] == "2.6 s at 50 Hz"
    assert here.asked == []  # nothing is sent before Send

    answer = here.ask("What is it?")
    assert answer.startswith("What is it? +4")
    assert here.page.locator("#tray li").count() == 0
    assert here.page.locator(".asked .medium").count() == 4
    signals = here.signals()
    assert signals["image"].pixels.shape == (96, 96, 3)
    assert len(signals["video"].frames) == 8
    assert signals["audio"].rate_hz == 16_000
    assert (signals["imu"].rate_hz, len(signals["imu"].samples)) == (50, 128)


def test_each_kind_alone_is_answered(here: Any, files: dict[str, Path]) -> None:
    for kind, path in files.items():
        here.attach(kind, path)
        assert here.ask(f"A {kind}?").startswith(f"A {kind}? +1")


def test_examples_are_what_the_playground_makes(here: Any) -> None:
    for kind in ("image", "audio", "imu", "video"):
        here.menu(kind, "Make an example")
        here.page.locator(f"#tray [data-kind={kind}] canvas, #tray img").first.wait_for()
    here.page.locator("#tray [data-kind=video]").wait_for()
    assert here.page.input_value("#question") == "What happens in the video?"
    here.ask("What is it?")
    signals = here.signals()
    pixels = signals["image"].pixels
    assert pixels.shape == (96, 96, 3)
    assert tuple(pixels[16, 16]) == COLOURS["red"]
    assert tuple(pixels[48, 48]) == COLOURS["blue"]
    assert tuple(pixels[80, 80]) == COLOURS["green"]
    frames = signals["video"].frames.astype(int)
    is_ground = (frames > 200).all(axis=3)
    middles = [np.argwhere(~ground)[:, 1].mean() for ground in is_ground]
    assert np.diff(middles).min() > 0  # it moves right
    assert num_bursts(signals["audio"].samples) == 3
    assert 2.3 < pace_hz(signals["imu"]) < 2.9  # what the playground calls a fast pace


def num_bursts(samples: Any) -> int:
    """How often a sound begins after 50 ms of near silence."""
    loud = np.abs(samples[: len(samples) // 800 * 800]).reshape(-1, 800).max(axis=1) > 0.1
    return int((loud[1:] & ~loud[:-1]).sum())


def pace_hz(motion: Any) -> float:
    """The strongest frequency of the vertical axis."""
    z = motion.samples[:, 2] - motion.samples[:, 2].mean()
    strength = np.abs(np.fft.rfft(z, 1024))
    return float(np.argmax(strength) / 1024 * motion.rate_hz)


def test_the_welcome_offers_the_same_examples(here: Any) -> None:
    here.page.get_by_role("button", name="How many beeps do you hear?").click()
    here.page.locator("#tray [data-kind=audio] canvas").wait_for()
    assert here.page.input_value("#question") == "How many beeps do you hear?"
    here.page.get_by_role("button", name="Remove beeps.wav").click()
    assert here.page.locator("#tray").is_hidden()
    assert here.page.evaluate("document.activeElement.id") == "question"


def test_a_file_without_a_clock_needs_a_rate(here: Any, tmp_path: Path) -> None:
    path = tmp_path / "still.npy"
    np.save(path, np.tile([0, 0, 1, 90, 0, 0], (64, 1)).astype("float32"))
    card = here.attach("imu", path)
    assert card.locator(".medium-facts").inner_text() == "64 rows"
    assert card.get_by_label("Acceleration in").input_value() == "g"  # it feels like gravity
    here.page.fill("#question", "What is it?")
    here.page.keyboard.press("Enter")
    assert here.asked == []
    assert here.page.evaluate("document.activeElement.type") == "number"
    assert "no times" in here.page.evaluate("document.activeElement.validationMessage")
    card.get_by_label("Samples per second").fill("32")
    card.get_by_label("Rotation in").select_option("deg/s")
    here.ask("What is it?")
    motion = here.signals()["imu"]
    assert motion.rate_hz == 32
    np.testing.assert_allclose(motion.samples[0], [0, 0, 9.80665, np.pi / 2, 0, 0], rtol=1e-6)


TABLES = {
    "named.csv": "time_ms,acc_x,acc_y,acc_z\n0,1,2,3\n20,4,5,6\n40,7,8,9\n",
    "plain.csv": "1;2;3\n4;5;6\n7;8;9\n",
    "rows.json": "[[1, 2, 3], [4, 5, 6], [7, 8, 9]]",
    "objects.json": json.dumps(
        [{"ax": k, "ay": k + 1, "az": k + 2, "t_s": k / 150} for k in (1, 4, 7)]
    ),
    "columns.json": '{"ax": [1, 4, 7], "ay": [2, 5, 8], "az": [3, 6, 9]}',
    "samples.json": '{"samples": [[1, 2, 3], [4, 5, 6], [7, 8, 9]], "rate_hz": 50}',
    "broken.json": "{",
    "words.csv": "a,b\nx,y\n",
}
READ = """async ([name, text]) => {
  const { readTable } = await import("/page/motion_file.js");
  return readTable(new Blob([text]), name.split(".").pop());
}"""


def test_tables_of_motion(here: Any) -> None:
    tables = {name: here.page.evaluate(READ, [name, text]) for name, text in TABLES.items()}
    assert tables.pop("broken.json") is None
    assert tables.pop("words.csv") is None
    assert all(table["rows"] == [[1, 2, 3], [4, 5, 6], [7, 8, 9]] for table in tables.values())
    rates = {name: table["rateHz"] and round(table["rateHz"], 6) for name, table in tables.items()}
    assert rates == {
        "named.csv": 50,
        "plain.csv": None,
        "rows.json": None,
        "objects.json": 50,
        "columns.json": None,
        "samples.json": 50,
    }


GIVE = """([type, name, text]) => {
  const files = new DataTransfer();
  files.items.add(new File([text], name));
  const event = type === "paste"
    ? new ClipboardEvent(type, { clipboardData: files })
    : new DragEvent(type, { dataTransfer: files, cancelable: true });
  dispatchEvent(event);
}"""


def test_paste_and_drop(here: Any) -> None:
    here.page.evaluate(GIVE, ["paste", "rows.json", TABLES["rows.json"]])
    here.page.evaluate(GIVE, ["dragover", "plain.csv", ""])
    assert here.page.locator("#drop").is_visible()
    here.page.evaluate(GIVE, ["drop", "plain.csv", TABLES["plain.csv"]])
    here.page.locator("#tray li").nth(1).wait_for()
    assert here.page.locator("#drop").is_hidden()
    here.page.evaluate(GIVE, ["drop", "essay.pdf", "%PDF"])
    here.page.get_by_text("essay.pdf is no image, clip, sound or motion recording").wait_for()


@pytest.mark.parametrize("kind", ["image", "audio", "video"])
def test_a_file_that_the_browser_cannot_show(here: Any, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "odd.bin"
    path.write_bytes(b"no medium at all")
    card = here.attach(kind, path)
    card.get_by_text("the service may still read it").wait_for()


def test_only_what_the_model_takes_is_offered(
    visit: Callable[..., Any], app: FastAPI, backend: Any
) -> None:
    object.__setattr__(backend, "modalities", ("image", "audio"))
    page = visit(app).page
    names = [summary.inner_text() for summary in page.locator("#tools summary:visible").all()]
    assert names == ["Image", "Sound"]
    assert page.locator(".example").count() == 2


def test_units_that_a_motion_file_states_are_left_to_it(here: Any, tmp_path: Path) -> None:
    rows = [f"{at / 50:.2f},0.1,0.2,9.7" for at in range(100)]
    names = "Time (s),Acceleration x (m/s^2),Acceleration y (m/s^2),Acceleration z (m/s^2)"
    path = tmp_path / "phone.csv"
    path.write_text("\n".join([names, *rows]))
    card = here.attach("imu", path)
    assert card.get_by_label("Acceleration in").input_value() == ""
    here.ask("What is it?")
    sent = here.asked[-1]["messages"][-1]["content"][0]["input_imu"]
    assert sent.keys() == {"data", "format"}
    np.testing.assert_allclose(here.signals()["imu"].samples[:, 2], 9.7, rtol=1e-6)
