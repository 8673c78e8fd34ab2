import numpy as np
import pytest

from anymal.errors import MediaCorrupt, MediaUnsupported
from anymal.media.audio import decode_audio
from anymal.media.limits import Limits
from anymal.media.source import Source
from encoders.signals import Audio
from tests.anymal.media.sounds import TAG, by_ffmpeg, id3, tone

SPOKEN = tone(1, 8000)
PAUSED = np.concatenate([SPOKEN, np.zeros(16000), SPOKEN])
VOICE = by_ffmpeg("amr", "libopencore_amrnb", SPOKEN, 8000)


def decode(data: bytes) -> Audio:
    return decode_audio(Source(name="voice.amr", data=data), Limits())


def test_a_voice_note_is_read() -> None:
    audio = decode(VOICE)
    assert audio.rate_hz == 8000
    assert audio.duration_s == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("container", ["amr", "3gp"])
def test_pauses_that_a_phone_left_out_are_silence(container: str) -> None:
    audio = decode(by_ffmpeg(container, "libopencore_amrnb", PAUSED, 8000, dtx="1"))
    assert audio.duration_s == pytest.approx(4, abs=0.05)
    pause = audio.samples[12_000:20_000]
    assert np.abs(pause).max() < 0.05 < np.abs(audio.samples[:8000]).max()


def test_wide_voice_notes_are_read() -> None:
    # A second of frames without sound, as nothing here encodes wide ones.
    audio = decode(b"#!AMR-WB\n" + b"\x7c" * 50)
    assert audio.rate_hz == 16000
    assert audio.duration_s == 1


@pytest.mark.parametrize("behind", [TAG, id3(), b"made by hand", b"\xff" * 99])
def test_bytes_behind_the_last_frame_are_left_out_and_told(
    behind: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(decode(VOICE + behind).samples) == len(decode(VOICE).samples)
    assert "bytes behind the sound are left out" in caplog.text


def test_joined_voice_notes_are_read_to_the_last() -> None:
    assert len(decode(VOICE * 3).samples) == 3 * len(decode(VOICE).samples)


def test_a_cut_within_a_frame_is_noticed() -> None:
    with pytest.raises(MediaCorrupt, match="cut short at"):
        decode(VOICE[:-5])


def test_several_channels_are_refused() -> None:
    with pytest.raises(MediaUnsupported, match="several channels"):
        decode(b"#!AMR_MC1.0\n" + bytes(100))
