from pathlib import Path

import pytest

from anymal.data.motion_csv import MotionCsv
from anymal.errors import DataError

CLOCK = "t_ms"


def write(path: Path, times: list[str], *, end: str = "\n") -> MotionCsv:
    path.write_text("ax,t_ms" + end + end.join(f"{n},{time}" for n, time in enumerate(times)))
    return MotionCsv(path, clock=CLOCK)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_cut_has_exactly_the_lines_of_its_time(tmp_path: Path, end: str) -> None:
    times = [f"{n * 5}.0" if n % 7 else "" for n in range(400)]
    recording = write(tmp_path / "a.csv", times, end=end)
    for start, stop in ((0, 50), (3, 4), (1000, 1500), (1990, 9000), (5000, 6000)):
        cut = recording.cut(start, stop)
        kept = [n for n, time in enumerate(times) if time and start <= float(time) < stop]
        assert cut.data.decode() == "".join(["ax,t_ms\n", *(f"{n},{times[n]}\n" for n in kept)])
        assert cut.times == [float(times[n]) for n in kept]
    assert recording.last_time() == 1990  # the line behind it has none


def test_lines_without_a_time_are_not_the_last(tmp_path: Path) -> None:
    assert write(tmp_path / "a.csv", ["1", "2", "", "nan"]).last_time() == 2
    assert write(tmp_path / "b.csv", []).last_time() == 0
    assert write(tmp_path / "c.csv", ["", ""]).cut(0, 9).times == []


def test_other_columns_and_other_times_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'late' is no time"):
        write(tmp_path / "a.csv", ["1", "late"]).cut(0, 9)
    with pytest.raises(DataError, match="has no column 'clock'; it has ax, t_ms"):
        MotionCsv(tmp_path / "a.csv", clock="clock")
