from collections.abc import Callable

import numpy as np
import pytest

from anymal.errors import MediaCorrupt, MediaTooLarge, MediaUnsupported
from anymal.media.audio import decode_audio
from anymal.media.limits import Limits
from anymal.media.source import Source
from encoders.signals import Audio


def decode(data: bytes, format: str | None = None, **limits: float) -> Audio:
    return decode_audio(Source(name="sound", data=data), Limits(**limits), format)  # type: ignore[arg-type]


def pitch_hz(audio: Audio) -> float:
    spectrum = np.abs(np.fft.rfft(audio.samples))
    return float(spectrum.argmax() * audio.rate_hz / len(audio.samples))


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "PCM_24"),
        ("WAV", "PCM_U8"),
        ("WAV", "FLOAT"),
        ("WAV", "ULAW"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", None),
        ("AIFF", "PCM_16"),
    ],
)
def test_sound_files_keep_rate_length_and_pitch(
    kind: str, subtype: str | None, sound: Callable[..., bytes]
) -> None:
    audio = decode(sound(kind, subtype))
    assert audio.rate_hz == 16000
    assert audio.duration_s == pytest.approx(1.5, abs=0.001)
    assert pitch_hz(audio) == pytest.approx(440, abs=1)
    assert audio.samples.flags.writeable


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("ipod", "aac"),
        ("ipod", "alac"),
        ("adts", "aac"),
        ("mov", "pcm_u8"),
        ("webm", "libopus"),
        ("matroska", "pcm_s16le"),
        ("matroska", "pcm_s32le"),
        ("avi", "mp2"),
    ],
)
def test_containers_give_their_sound(
    container: str, codec: str, track: Callable[..., bytes]
) -> None:
    audio = decode(track(container, codec))
    assert audio.rate_hz == 48000
    assert audio.duration_s == pytest.approx(2, abs=0.06)
    assert pitch_hz(audio) == pytest.approx(440, abs=1)
    assert np.percentile(np.abs(audio.samples), 90) == pytest.approx(0.49, abs=0.04)


@pytest.mark.parametrize(("container", "codec"), [("mp4", "aac"), ("webm", "libopus")])
def test_a_film_gives_its_sound(container: str, codec: str, film: Callable[..., bytes]) -> None:
    picture_codec = "libx264" if container == "mp4" else "libvpx"
    audio = decode(film(container, picture_codec, sound=codec))
    assert pitch_hz(audio) == pytest.approx(440, abs=1)


def test_a_film_without_sound_is_refused(film: Callable[..., bytes]) -> None:
    with pytest.raises(MediaUnsupported, match=r"without sound; .* MKV or AVI"):
        decode(film())


@pytest.mark.parametrize("num_channels", [1, 2, 6])
def test_channels_are_averaged(num_channels: int, sound: Callable[..., bytes]) -> None:
    samples = np.zeros((800, num_channels), np.float32)
    samples[:, 0] = 0.6
    audio = decode(sound("WAV", "FLOAT", samples))
    assert audio.samples == pytest.approx(0.6 / num_channels)


def test_samples_just_past_full_scale_are_clipped(sound: Callable[..., bytes]) -> None:
    audio = decode(sound("WAV", "FLOAT", np.array([-1.5, 0.5, 2.0])))
    assert audio.samples.tolist() == [-1.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("value", "error"), [(np.nan, MediaCorrupt), (np.inf, MediaCorrupt), (32767.0, MediaTooLarge)]
)
def test_samples_that_are_no_sound_are_refused(
    value: float, error: type[Exception], sound: Callable[..., bytes]
) -> None:
    with pytest.raises(error):
        decode(sound("WAV", "FLOAT", np.array([0.0, value, 0.0])))


def test_a_wav_from_a_pipe_is_read_to_its_end(sound: Callable[..., bytes]) -> None:
    data = bytearray(sound())
    place = data.find(b"data")
    data[4:8] = data[place + 4 : place + 8] = b"\xff" * 4
    assert decode(bytes(data)).duration_s == 1.5


def test_a_flac_from_a_pipe_is_read_to_its_end(sound: Callable[..., bytes]) -> None:
    data = bytearray(sound("FLAC"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    assert decode(bytes(data)).duration_s == 1.5


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_too_many_seconds_are_refused(kind: str, sound: Callable[..., bytes]) -> None:
    with pytest.raises(MediaTooLarge, match="at most 1 seconds"):
        decode(sound(kind), max_seconds=1)
    assert decode(sound(kind), max_seconds=1.5)


def test_seconds_are_counted_where_the_header_does_not_tell(track: Callable[..., bytes]) -> None:
    with pytest.raises(MediaTooLarge, match="at most 1 seconds"):
        decode(track("adts", "aac"), max_seconds=1)


def test_the_declared_format_must_be_true(sound: Callable[..., bytes]) -> None:
    assert decode(sound("WAV"), ".WAV")
    assert decode(sound("OGG", "OPUS"), "opus")
    with pytest.raises(MediaUnsupported, match="a WAV sound, declared as 'mp3'"):
        decode(sound("WAV"), "mp3")
    with pytest.raises(MediaUnsupported, match="unknown audio format 'midi'"):
        decode(sound("WAV"), "midi")


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
def test_every_cut_is_noticed(kind: str, sound: Callable[..., bytes]) -> None:
    data = sound(kind)
    for share in (0.01, 0.1, 0.5, 0.9, 0.99):
        with pytest.raises((MediaCorrupt, MediaUnsupported)):
            decode(data[: int(len(data) * share)])
