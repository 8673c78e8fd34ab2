"""Ego4D: what the camera's wearer does, as narrated, beside five seconds of head motion.

Follows IMU2CLIP (arXiv 2210.14395), as its code pairs narrations with windows: `t` +- 2.5 s, on
whole seconds and inside the recording. Other people's actions are left out, and so are windows
that `bad_imu_windows_2.5.json`, where it lies beside the narrations, lists. Does not read videos.
"""

import json
import logging
import math
import re
import string
from array import array
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from anymal.data.containers.json_object import JsonObject
from anymal.data.motion_csv import MotionCsv
from anymal.data.options import Options
from anymal.data.rows import Mapped, Rows
from anymal.errors import DataError
from anymal.protocol.conversation import data_url
from anymal.recipe.prompts import PROMPTS

logger = logging.getLogger(__name__)


_HALF = 2.5  # seconds
_WINDOW = int(2 * _HALF)
_CLOCK = "canonical_timestamp_ms"
_BAD_WINDOWS = "bad_imu_windows_2.5.json"
_PASSES = ("narration_pass_1", "narration_pass_2")
_KEYS = ("narration_text", "annotation_uid")
_WEARER = re.compile(r"#[Cc]\b")
_MARKS = re.compile(r"#C C |#C")
_LONGEST = 128  # characters of a narration
_FEWEST_SAMPLES = 10
_LONGEST_HOLE = 1000  # milliseconds without samples in a window


def clean_narration(text: str) -> str:
    """A narration as a caption: `#C C Picks up a #unsure.` becomes `picks up a something`."""
    plain = _MARKS.sub("", text).replace("#unsure", "something")
    return plain.strip().strip(string.punctuation).lower()[:_LONGEST]


def window_start(time: float, duration: float) -> int:
    """The whole second at which the window around a time begins, inside the recording."""
    if time <= _WINDOW:
        return 0
    if time + _WINDOW >= duration:
        return math.floor(duration - _WINDOW)
    return math.floor(time - _HALF)


class Windows:
    """Raw rows: a narration of the wearer and the window of motion around it.

    Args:
        path: `narration.json`.
        media: Folder with `{video_uid}.csv`.

    Attributes:
        left_out: How many narrations are left out, by reason.

    Raises:
        DataError: A file cannot be read, or no narration is left.
    """

    def __init__(self, path: Path, media: Path) -> None:
        self._videos = JsonObject(path)
        self._media = media
        self._video, self._narration, self._start = array("I"), array("I"), array("I")
        self.left_out: Counter[str] = Counter()
        bad = _bad_windows(path.with_name(_BAD_WINDOWS))
        for number in range(len(self._videos)):
            try:
                self._add(number, bad)
            except DataError:  # a ValueError, too
                raise
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise DataError(
                    f"{self._videos.where(number)}: not as Ego4D publishes narrations ({error!r})"
                ) from error

    def __len__(self) -> int:
        return len(self._start)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        uid = self._videos.key(self._video[index])
        narration = _narrations(self._videos.value(self._video[index]))[self._narration[index]]
        start = self._start[index]
        return {
            "id": f"{uid}_{narration['annotation_uid']}_{start}",
            "text": clean_narration(narration["narration_text"]),
            "imu": self._motion(uid, start, self.where(index)),
        }

    def where(self, index: int) -> str:
        """Return `file:video:narration`."""
        return f"{self._videos.where(self._video[index])}:{self._narration[index] + 1}"

    def _add(self, number: int, bad: set[tuple[str, int]]) -> None:
        """Add the windows of one video."""
        narrations = _narrations(self._videos.value(number))
        uid = self._videos.key(number)
        recording = self._recording(uid)
        if not recording.is_file():
            self.left_out["without a recording"] += len(narrations)
            return
        duration = MotionCsv(recording, clock=_CLOCK).last_time() / 1000
        for place, narration in enumerate(narrations):
            start = window_start(float(narration["timestamp_sec"]), duration)
            text, _ = (narration[key] for key in _KEYS)  # what rows need is missed now, not later
            if not _WEARER.search(text):
                self.left_out["about other people"] += 1
            elif not 0 <= start <= duration - _WINDOW or (uid, start) in bad:
                self.left_out["without a good window"] += 1
            else:
                self._video.append(number)
                self._narration.append(place)
                self._start.append(start)

    def _recording(self, uid: str) -> Path:
        """The recording of a video, links followed."""
        folder = self._media.resolve()
        path = (folder / f"{uid}.csv").resolve()
        if not path.is_relative_to(folder):
            raise DataError(f"the recording of {uid!r} is outside the media folder {folder}")
        return path

    def _motion(self, uid: str, start: int, place: str) -> str:
        """The window as a data URL; a recording with a hole there is an error of the row."""
        first, end = start * 1000, (start + _WINDOW) * 1000
        cut = MotionCsv(self._recording(uid), clock=_CLOCK).cut(first, end)
        hole = max(b - a for a, b in pairwise([first, *cut.times, end]))
        if len(cut.times) < _FEWEST_SAMPLES or hole > _LONGEST_HOLE:
            raise DataError(
                f"{place}: of {start} to {start + _WINDOW} s, {uid}.csv has {len(cut.times)} "
                f"samples, and {hole / 1000:.1f} s without any; list the window in {_BAD_WINDOWS}"
            )
        return data_url(cut.data, "text/csv")


def open_ego4d(path: Path, options: Options) -> Rows:
    """Open `narration.json`; the recordings are in the media folder, as `{video_uid}.csv`.

    Raises:
        DataError: A file cannot be read, or no narration is left.
    """
    windows = Windows(path, options.media_of(path))
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in windows.left_out.items())
    if not len(windows):
        raise DataError(
            f"{path}: no narration has a window of motion; left out: {left_out or 'none'}; give "
            "the folder of the recordings as media"
        )
    if left_out:
        logger.warning("%s: narrations left out: %s", path, left_out)
    style = options.prompt or PROMPTS["imu"]
    return Mapped.of(path, windows, options, make=style.conversation)


def _narrations(video: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What was narrated of a video, in both passes."""
    return [
        narration for name in _PASSES for narration in video.get(name, {}).get("narrations", [])
    ]


def _bad_windows(path: Path) -> set[tuple[str, int]]:
    """Video and first second of the windows to leave out; none where there is no file."""
    if not path.is_file():
        return set()
    try:
        return {(str(uid), int(start)) for uid, start, _ in json.loads(path.read_bytes())}
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is no list of [video, start, end]: {error}") from error
