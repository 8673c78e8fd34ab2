"""Ego4D: narrations to windows of motion."""

import logging
from pathlib import Path

import pytest

from anymal.data.rows import Record
from anymal.errors import DataError
from tests.anymal.data import examples
from tests.anymal.data.examples import UID, narration, write_json
from tests.anymal.data.reading import all_of, media, opened, words


def times(record: Record) -> tuple[float, float, int]:
    lines = media(record)[0].decode().splitlines()[1:]
    stamps = [float(line.partition(",")[0]) for line in lines]
    return stamps[0], stamps[-1], len(stamps)


def test_ego4d_pairs_narrations_with_windows_on_whole_seconds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        rows = opened(examples.ego4d(tmp_path))
    assert [words(record)[2] for record in all_of(rows)] == [
        "assistant: picks up a something",
        "assistant: walks around the room",
        "assistant: looks around",
    ]
    # 1.5 s: from the beginning; 6.9 s: 4.4 to 9.4, floored; 11.8 s: up to the end, 12 s.
    assert [times(record) for record in all_of(rows)] == [
        *((0, 4980, 250), (4000, 8980, 250), (7000, 11980, 250))
    ]
    assert "narrations left out: 1 about other people" in caplog.text
    assert rows.where(2).endswith(f"narration.json:{UID}:4")


def test_ego4d_leaves_out_bad_windows_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entry = examples.ego4d(tmp_path)
    write_json(tmp_path / "bad_imu_windows_2.5.json", [[UID, 4, 9], ["another", 0, 5]])
    with caplog.at_level(logging.WARNING):
        assert len(opened(entry)) == 2
    assert "1 without a good window" in caplog.text


def test_ego4d_counts_videos_without_a_recording(tmp_path: Path) -> None:
    notes = [narration(3.0, "#C C sits", 1)] * 3
    path = write_json(
        tmp_path / "narration.json", {"x": {"narration_pass_1": {"narrations": notes}}}
    )
    with pytest.raises(DataError, match="left out: 3 without a recording; give the folder"):
        opened({"manifest": str(path), "format": "ego4d"})


def test_ego4d_reports_a_hole_in_a_recording(tmp_path: Path) -> None:
    entry = examples.ego4d(tmp_path)
    lines = (tmp_path / f"{UID}.csv").read_text().splitlines()
    (tmp_path / f"{UID}.csv").write_text("\n".join([*lines[:230], *lines[350:]]))
    rows = opened(entry)
    assert times(rows[2])[2] == 250
    with pytest.raises(DataError, match=r":3: of 4 to 9 s, .* has 130 samples, and 2.4 s w"):
        rows[1]


@pytest.mark.parametrize(
    "video",
    [[], {"narration_pass_1": {"narrations": [{"timestamp_sec": 1}]}}, {"narration_pass_1": 1}],
)
def test_ego4d_names_a_video_that_is_written_otherwise(tmp_path: Path, video: object) -> None:
    entry = examples.ego4d(tmp_path)
    write_json(tmp_path / "narration.json", {UID: video})
    with pytest.raises(DataError, match=f"{UID}: not as Ego4D publishes narrations"):
        opened(entry)


def test_ego4d_reads_no_recording_outside_its_folder(tmp_path: Path) -> None:
    entry = examples.ego4d(tmp_path)
    notes = {"narration_pass_1": {"narrations": [narration(3.0, "#C C sits", 1)]}}
    for uid in (f"../{UID}", str(tmp_path / UID)):
        write_json(tmp_path / "narration.json", {uid: notes})
        (tmp_path / "media").mkdir(exist_ok=True)
        with pytest.raises(DataError, match="is outside the media folder"):
            opened(entry, media=str(tmp_path / "media"))
    (tmp_path / "media" / "linked.csv").symlink_to(tmp_path / f"{UID}.csv")
    write_json(tmp_path / "narration.json", {"linked": notes})
    with pytest.raises(DataError, match="'linked' is outside the media folder"):
        opened(entry, media=str(tmp_path / "media"))
