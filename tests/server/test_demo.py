"""The demonstration's own parts; the whole of it is what `make demo` runs."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from anymal.playground.sources import clips, mixed, motions, scenes, sounds
from server import demo


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(demo, "FOLDER", tmp_path)


@pytest.mark.parametrize(
    ("make", "modality", "suffix"),
    [
        (scenes, "image", ".png"),
        (clips, "video", ".mp4"),
        (sounds, "audio", ".wav"),
        (motions, "imu", ".csv"),
    ],
)
def test_exhibit_is_one_file_and_a_question(make, modality: str, suffix: str) -> None:
    exhibit = demo.exhibit_of(make(split="heldout", size=1, seed=demo.SEED))
    assert list(exhibit.files) == [modality]
    (path,) = exhibit.files[modality]
    assert path.suffix == suffix
    assert path.stat().st_size > 0
    assert exhibit.question
    assert exhibit.truth
    assert exhibit.message["role"] == "user"


def test_written_sound_is_the_sound_of_the_message() -> None:
    exhibit = demo.exhibit_of(sounds(split="heldout", size=1, seed=demo.SEED))
    samples, rate_hz = soundfile.read(exhibit.files["audio"][0])
    assert rate_hz == 16_000
    assert np.abs(samples).max() > 0.1


def test_mixed_exhibit_has_two_modalities() -> None:
    exhibit = demo.exhibit_of(mixed(split="heldout", size=1, seed=demo.SEED))
    assert len(exhibit.files) == 2


@pytest.mark.parametrize(("answer", "code"), [("A red circle.", 0), ("  ", 1)])
def test_a_missing_answer_fails_the_demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str, code: int
) -> None:
    monkeypatch.setattr(demo, "ANYMAL", Path("/bin/true"))
    monkeypatch.setattr(demo, "wait_until_ready", lambda url, server: None)
    monkeypatch.setattr(demo, "ask_command_line", lambda exhibit: "A red circle.")
    monkeypatch.setattr(demo, "ask_rest", lambda url, exhibit: answer)
    monkeypatch.setattr(demo, "ask_client", lambda url, exhibit: "A red circle.")
    assert demo.main() == code
    assert "A red circle." in capsys.readouterr().out
