"""Captions of head motion: windows of Ego4D's recordings, in a file shaped as COCO's.

OneLLM (arXiv 2312.03700) evaluates on 2,000 such windows. Does not read narrations; the data format
`ego4d` does.
"""

from typing import Any

from anymal.data.motion_csv import MotionCsv
from anymal.errors import DataError
from anymal.evaluation.benchmarks.caption_task import Described, caption_task
from anymal.evaluation.benchmarks.coco_file import read_coco
from anymal.evaluation.benchmarks.folder import Folder, Made
from anymal.evaluation.task import Task
from anymal.protocol.conversation import data_url

_CLOCK = "canonical_timestamp_ms"
_FEWEST_SAMPLES = 10
_FILE = "imu_2000_cococap.json"
_KEYS = ("video_uid", "window_start", "window_end")


def ego4d(folder: Folder, *, note: str, java: bool) -> list[Task]:
    """Open the windows; a window is cut out of its recording when it is asked about.

    Raises:
        DataError: The folder is laid out otherwise, or lacks a recording.
    """
    windows, captions = read_coco(folder, _FILE, _KEYS)
    folder.all_media("imu", (f"{row['video_uid']}.csv" for row in windows))

    def described(row: Any) -> Described:
        return Described(
            id=str(row["id"]), medium=_window(folder, row), captions=captions[row["id"]]
        )

    media = Made(rows=windows, make=described)
    return [caption_task(folder, media, prompt="imu", below="imu", note=note, java=java)]


def _window(folder: Folder, row: Any) -> str:
    """The motion of one window as a data URL."""
    path = folder.path / "imu" / f"{row['video_uid']}.csv"
    start, end = float(row["window_start"]), float(row["window_end"])
    cut = MotionCsv(path, clock=_CLOCK).cut(1000 * start, 1000 * end)
    if len(cut.times) < _FEWEST_SAMPLES:
        raise DataError(
            f"{path} has {len(cut.times)} samples from {start:g} to {end:g} s, which window "
            f"{row['id']} of {_FILE} is about; take the window out of that file"
        )
    return data_url(cut.data, "text/csv")
