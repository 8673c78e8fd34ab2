"""How much media one file may hold.

It measures nothing; the decoders compare with it before they allocate.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most that is accepted of one file.

    Attributes:
        max_bytes: Size of the file, and of what a packed motion recording unpacks to.
        max_json_bytes: Size of a JSON recording, which takes many times that in memory.
        max_pixels: Width times height of an image or of a film's frame.
        max_aspect_ratio: Long side over short side; a thin strip explodes when it is resized.
        max_frames: Frames in a film, sampled or not.
        max_sampled_pixels: Pixels of all sampled frames together.
        max_decoded_pixels: Width times height times the frames that have to be decoded, because
            decoding can start only at some frames.
        max_seconds: Length of a film or a sound.
        max_samples: Samples of a sound in one channel; in all channels together, 8 times as many.
        max_scans: Scans of a JPEG; each is a pass over the whole picture.
        max_motion_seconds: Length of a motion recording.
        max_motion_samples: Rows of a motion recording, as stored and once at a steady rate.
        max_gap_s: Time without a row that is still bridged by interpolation; four times the usual
            step is bridged in any case.
        refuses_doubtful_units: Whether motion whose values look like another unit than the one
            assumed is an error; otherwise it is a log line.
    """

    max_bytes: int = 64 * 2**20
    max_json_bytes: int = 16 * 2**20
    max_pixels: int = 64_000_000
    max_aspect_ratio: float = 100.0
    max_frames: int = 36_000
    max_sampled_pixels: int = 140_000_000
    max_decoded_pixels: int = 40_000_000_000
    max_seconds: float = 600.0
    max_samples: int = 48_000 * 600
    max_scans: int = 100
    max_motion_seconds: float = 6 * 3600.0
    max_motion_samples: int = 2_000_000
    max_gap_s: float = 0.25
    refuses_doubtful_units: bool = True
