"""Small whole files of all containers, codecs and dialects that are read, to be damaged."""

import io
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import PIL.Image
import soundfile

from tests.anymal.media.heic import heic
from tests.anymal.media.sounds import by_ffmpeg, id3, speex, stored, tone, without_length
from tests.anymal.media.theora import theora

_FILMS: list[tuple[str, str, dict[str, Any]]] = [
    ("mp4", "libx264", {"sound": "aac"}),
    ("mp4", "libx264", {"movflags": "frag_keyframe+empty_moov", "g": "3"}),
    ("mp4", "libx265", {"x265-params": "log-level=none:pools=none"}),
    ("mov", "prores_ks", {"pixel_format": "yuv422p10le", "num_frames": 3, "size": (32, 32)}),
    ("mov", "qtrle", {"pixel_format": "argb", "rotation": 90}),
    ("mov", "mpeg4", {"aspect": Fraction(4, 3), "sound": "pcm_s16le"}),
    ("3gp", "h263", {"size": (128, 96), "num_frames": 5}),
    ("matroska", "libx264", {"sound": "libopus"}),
    ("matroska", "ffv1", {"num_frames": 5}),
    ("webm", "libvpx", {"sound": "libopus"}),
    ("webm", "libvpx-vp9", {"num_frames": 6, "cpu-used": "8"}),
    ("mp4", "libsvtav1", {"num_frames": 6, "preset": "12", "size": (64, 64)}),
    ("avi", "mpeg4", {"sound": "libmp3lame"}),
    ("avi", "mjpeg", {"pixel_format": "yuvj420p", "num_frames": 5}),
    ("avi", "rawvideo", {"pixel_format": "bgr24", "num_frames": 3, "size": (32, 24)}),
    ("mpegts", "mpeg2video", {"sound": "mp2", "rate": 25}),
    ("mpegts", "libx264", {"sound": "aac"}),
    ("mpeg", "mpeg1video", {"rate": 25, "num_frames": 8}),
    ("gif", "gif", {"pixel_format": "rgb8"}),
]
_HDR = {"color_trc": "smpte2084", "color_primaries": "bt2020", "colorspace": "bt2020nc"}


def films(film: Callable[..., bytes], picture: Callable[..., bytes]) -> list[bytes]:
    """Films, and still images, which are taken for films too."""
    made = [film(container, codec, **options) for container, codec, options in _FILMS]
    made.append(film("matroska", "libx264", pixel_format="yuv420p10le", num_frames=4, **_HDR))
    return [*made, theora(), picture("JPEG"), picture("GIF")]


def images(picture: Callable[..., bytes]) -> list[bytes]:
    """Pictures of all formats and modes."""
    turned = PIL.Image.Exif()
    turned[0x0112] = 6
    grey = np.arange(60 * 40, dtype=np.uint16).reshape(40, 60)
    jpeg = picture("JPEG", exif=turned)
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    return [
        *(picture("PNG", mode) for mode in ("RGB", "RGBA", "L", "LA", "P", "1")),
        picture("PNG", exif=turned),
        _saved(PIL.Image.fromarray(grey), "PNG"),
        _deep_colour(),
        *(jpeg, jpeg[:-2], picture("JPEG", "L"), picture("JPEG", "CMYK")),
        picture("JPEG", progressive=True),
        *(picture("WEBP"), picture("WEBP", lossless=True), picture("WEBP", "RGBA")),
        *(_moving("WEBP"), _moving("GIF"), _moving("PNG"), _moving("TIFF")),
        *(picture("GIF"), picture("GIF", "L"), picture("GIF", "P", transparency=0)),
        *(picture("BMP", mode) for mode in ("RGB", "L", "1", "P")),
        *(picture("TIFF", compression=each) for each in (None, "tiff_lzw", "jpeg", "packbits")),
        *(picture("TIFF", mode) for mode in ("L", "1", "CMYK", "RGBA")),
        _saved(PIL.Image.fromarray(grey), "TIFF"),
        *(picture("AVIF"), picture("AVIF", "RGBA"), heic(pixels), heic(pixels, quarter_turns=1)),
    ]


def sounds(film: Callable[..., bytes]) -> list[bytes]:
    """Sounds of all containers and codecs, some of them joined or behind tags."""
    wave, wide = tone(0.4), tone(0.4, 48_000)
    slow = tone(0.4, 8_000)
    wav, mp3 = stored("WAV", wave), stored("MP3", wave, "MPEG_LAYER_III")
    vorbis = stored("OGG", wave, "VORBIS")
    stereo = np.stack([wave, -wave], axis=1)
    return [
        *(wav, stored("WAV", stereo), wav + wav, wav + b"TAG" + b"x" * 125),
        *(stored("WAV", wave, each) for each in ("PCM_U8", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM")),
        *(stored("RF64", wave), stored("WAVEX", wave), stored("AIFF", wave)),
        *(stored("AIFF", wave, each) for each in ("ULAW", "FLOAT")),
        _big_endian(wave),
        *(stored("FLAC", wave), vorbis, vorbis + vorbis, stored("OGG", wave, "OPUS")),
        *(mp3, id3() + mp3, without_length(mp3), mp3 + mp3, speex(20)),
        *(stored("CAF", wave), by_ffmpeg("caf", "alac", wide, 48_000)),
        by_ffmpeg("wav", "libmp3lame", wave, 16_000),
        by_ffmpeg("mp2", "mp2", wide, 48_000),
        by_ffmpeg("adts", "aac", wide, 48_000),
        by_ffmpeg("ogg", "flac", wide, 48_000),
        by_ffmpeg("ipod", "aac", wide, 48_000),
        by_ffmpeg("ipod", "alac", wide, 48_000),
        by_ffmpeg("mov", "pcm_s16le", wide, 48_000),
        by_ffmpeg("webm", "libopus", wide, 48_000),
        by_ffmpeg("mpegts", "mp2", wide, 48_000),
        by_ffmpeg("amr", "libopencore_amrnb", slow, 8_000),
        by_ffmpeg("3gp", "libopencore_amrnb", slow, 8_000),
        film("avi", "mpeg4", sound="libmp3lame", num_frames=4),
        film("mp4", "libx264", sound="aac", num_frames=4),
    ]


def _saved(image: PIL.Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _moving(kind: str) -> bytes:
    first, *more = (PIL.Image.new("RGB", (30, 20), each) for each in ("red", "green", "blue"))
    return _saved(first, kind, save_all=True, append_images=more)


def _deep_colour() -> bytes:
    """A PNG of 16 bits a channel, of which 12 are used; Pillow writes none."""
    from tests.anymal.media.broken import chunk, zlib

    rows = np.random.default_rng(0).integers(0, 4096, (8, 12, 3)).astype(">u2")
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 12, 8, 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def _big_endian(wave: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, 16_000, format="WAV", subtype="PCM_16", endian="BIG")
    return file.getvalue()
