from collections.abc import Callable

import numpy as np
import pytest

from anymal.errors import MediaCorrupt, MediaTooLarge, MediaUnsupported
from anymal.media.audio import decode_audio
from anymal.media.limits import Limits
from anymal.media.ogg import is_vorbis_or_opus, links
from anymal.media.source import Source
from encoders.signals import Audio
from tests.anymal.media.sounds import by_ffmpeg, ogg_page, speex, tone

FLAC = by_ffmpeg("ogg", "flac", tone(), 16000)


def decode(data: bytes) -> Audio:
    return decode_audio(Source(name="sound", data=data), Limits())


@pytest.mark.parametrize("codec", ["VORBIS", "OPUS"])
def test_every_link_is_read(codec: str, sound: Callable[..., bytes]) -> None:
    data = sound("OGG", codec)
    assert is_vorbis_or_opus(data)
    joined = Source(name="joined", data=data + b"between" + data + data + b"behind")
    assert [link.data for link in links(joined)] == [data] * 3
    assert decode(joined.data).duration_s == pytest.approx(4.5, abs=0.001)


def test_links_of_different_codecs_are_read(sound: Callable[..., bytes]) -> None:
    assert decode(FLAC + sound("OGG", "VORBIS") + FLAC).duration_s == pytest.approx(4.5, abs=0.001)
    with pytest.raises(MediaUnsupported, match="rate changes from 16000 to 8000 Hz"):
        decode(FLAC + speex())


def test_flac_in_ogg_is_read() -> None:
    assert not is_vorbis_or_opus(FLAC)
    assert decode(FLAC).samples == pytest.approx(tone(), abs=0.001)


def test_speex_is_read() -> None:
    audio = decode(speex())
    assert audio.rate_hz == 8000
    assert audio.duration_s == 1
    assert np.abs(audio.samples).max() < 0.01


@pytest.mark.parametrize("codec", ["VORBIS", "OPUS"])
def test_a_link_that_was_cut_is_noticed(codec: str, sound: Callable[..., bytes]) -> None:
    data = sound("OGG", codec)
    with pytest.raises(MediaCorrupt):
        decode(data + data[:-100])


def test_an_unknown_codec_tells_no_address() -> None:
    data = ogg_page(2, 0, 0, [b"Unknown " + bytes(60)]) + ogg_page(4, 800, 1, [bytes(50)])
    with pytest.raises(MediaCorrupt) as caught:
        decode(data)
    assert "0x" not in str(caught.value)


def test_a_flood_of_links_is_refused() -> None:
    with pytest.raises(MediaTooLarge, match="more than 1,000 joined sounds"):
        list(links(Source(name="flood", data=speex(1) * 1001)))
