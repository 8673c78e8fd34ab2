import io
from collections.abc import Callable

import av
import numpy as np
import pytest

from anymal.errors import MediaCorrupt, MediaTooLarge, MediaUnsupported
from anymal.media.audio import decode_audio
from anymal.media.limits import Limits
from anymal.media.source import Source
from encoders.signals import Audio
from tests.anymal.media.sounds import TAG, by_ffmpeg, id3, tone, without_length


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
        ("caf", "pcm_s16le"),
        ("caf", "alac"),
        ("ogg", "flac"),
        ("wav", "libmp3lame"),
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


@pytest.mark.parametrize("format", [None, "wav", ".WAV", "mp3", "audio/mpeg", "midi", ""])
@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_the_bytes_decide_whatever_is_declared(
    kind: str, format: str | None, sound: Callable[..., bytes]
) -> None:
    assert decode(sound(kind), format).duration_s == pytest.approx(1.5, abs=0.001)


def test_a_declared_format_is_named_where_the_bytes_tell_nothing() -> None:
    with pytest.raises(MediaUnsupported, match="no known format, declared as 'pcm16'"):
        decode(bytes(range(20)) * 20, "pcm16")


def test_an_mp3_without_a_length_is_read_to_its_end() -> None:
    # Silence first: the rate of the first frames promises a much shorter sound.
    samples = np.concatenate([np.zeros(8000), tone(6)])
    data = without_length(by_ffmpeg("mp3", "libmp3lame", samples, 16000, q="0"))
    assert decode(data).duration_s == pytest.approx(6.5, abs=0.2)
    assert decode(data, max_seconds=7)


@pytest.mark.parametrize("between", [b"", TAG, id3(), id3() + TAG])
def test_joined_mp3_are_read_to_the_last(between: bytes) -> None:
    data = by_ffmpeg("mp3", "libmp3lame", tone(), 16000)
    audio = decode(data + between + data + between + data)
    assert audio.duration_s == pytest.approx(4.5, abs=0.3)
    assert pitch_hz(audio) == pytest.approx(440, abs=1)


def test_a_joined_mp3_of_another_rate_is_refused() -> None:
    parts = [by_ffmpeg("mp3", "libmp3lame", tone(1, rate), rate) for rate in (16000, 44100)]
    with pytest.raises(MediaUnsupported, match=r"rate changes from 16000 to 44100 Hz; .* convert"):
        decode(b"".join(parts))


@pytest.mark.parametrize(
    "front", [id3(), bytes(2000), id3() + bytes(2000), b"\x12\xff\xf1\x34" * 9]
)
@pytest.mark.parametrize(("container", "codec"), [("adts", "aac"), ("mp3", "libmp3lame")])
def test_frames_behind_tags_zeros_and_the_rest_of_a_frame_are_read(
    container: str, codec: str, front: bytes
) -> None:
    audio = decode(front + by_ffmpeg(container, codec, tone(), 16000))
    assert audio.duration_s == pytest.approx(1.5, abs=0.2)
    assert pitch_hz(audio) == pytest.approx(440, abs=1)


def test_a_sound_begins_anywhere_in_a_stream() -> None:
    for container, codec in (("adts", "aac"), ("mp3", "libmp3lame")):
        data = by_ffmpeg(container, codec, tone(3), 16000)
        assert decode(data[len(data) // 3 :]).duration_s == pytest.approx(2, abs=0.25)


def test_the_length_in_a_flac_does_not_shorten_it(sound: Callable[..., bytes]) -> None:
    data = bytearray(sound("FLAC"))
    data[22:26] = (4000).to_bytes(4, "big")
    assert decode(bytes(data)).duration_s == 1.5
    data[22:26] = (24001).to_bytes(4, "big")
    with pytest.raises(MediaCorrupt, match=r"1\.5000 of 1\.5001 seconds"):
        decode(bytes(data))


def test_the_first_track_that_can_be_decoded_is_read(caplog: pytest.LogCaptureFixture) -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mov") as output:
        streams = [output.add_stream("pcm_s16le", rate=16000, layout="mono") for _ in range(2)]
        for stream, wave in zip(streams, (tone(pitch_hz=880), tone()), strict=True):
            frame = av.AudioFrame.from_ndarray((wave[None] * 32767).astype(np.int16), "s16", "mono")
            frame.sample_rate, frame.pts = 16000, 0
            output.mux(stream.encode(frame))
            output.mux(stream.encode())
    data = file.getvalue()
    assert pitch_hz(decode(data)) == pytest.approx(880, abs=1)
    assert pitch_hz(decode(data.replace(b"sowt", b"apac", 1))) == pytest.approx(440, abs=1)
    assert "1 sound tracks in unknown codecs are skipped" in caplog.text
    with pytest.raises(MediaUnsupported, match="a sound in an unknown codec"):
        decode(data.replace(b"sowt", b"apac"))


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
def test_every_cut_is_noticed(kind: str, sound: Callable[..., bytes]) -> None:
    data = sound(kind)
    for share in (0.01, 0.1, 0.5, 0.9, 0.99):
        with pytest.raises((MediaCorrupt, MediaUnsupported)):
            decode(data[: int(len(data) * share)])
