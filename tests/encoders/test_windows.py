import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.base import EncoderError
from encoders.windows import cut_windows, window_length


def cut(num_samples: int, **options: int) -> list[list[int]]:
    samples = np.arange(1, num_samples + 1)
    settings = {"length": 4, "hop": 4, "max_windows": 10} | options
    return cut_windows(samples, **settings).samples.tolist()


def test_windows_follow_one_another() -> None:
    assert cut(8) == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_windows_overlap() -> None:
    assert cut(8, hop=2) == [[1, 2, 3, 4], [3, 4, 5, 6], [5, 6, 7, 8]]


def test_last_window_is_padded() -> None:
    assert cut(5) == [[1, 2, 3, 4], [5, 0, 0, 0]]
    edge = cut_windows(np.arange(1, 6), length=4, hop=4, max_windows=9, pad="edge")
    assert edge.samples.tolist() == [[1, 2, 3, 4], [5, 5, 5, 5]]
    assert edge.num_real.tolist() == [4, 1]


def test_short_tail_is_left_out() -> None:
    assert len(cut(9, slack=1)) == 2
    assert len(cut(10, slack=1)) == 3
    assert cut(1, slack=1) == [[1, 0, 0, 0]]


def test_too_many_windows_are_thinned_evenly() -> None:
    assert [window[0] for window in cut(36, max_windows=3)] == [1, 17, 33]
    assert [window[0] for window in cut(36, max_windows=1)] == [1]


def test_channels_stay_together() -> None:
    samples = np.arange(12).reshape(6, 2)
    windows = cut_windows(samples, length=4, hop=4, max_windows=2).samples
    assert windows.shape == (2, 4, 2)
    assert windows[1].tolist() == [[8, 9], [10, 11], [0, 0], [0, 0]]


@given(
    num_samples=st.integers(1, 60),
    length=st.integers(1, 12),
    overlap=st.integers(0, 11),
    max_windows=st.integers(1, 8),
    slack=st.integers(0, 3),
)
def test_every_window_begins_in_the_signal(
    num_samples: int, length: int, overlap: int, max_windows: int, slack: int
) -> None:
    samples = np.arange(1, num_samples + 1)
    hop = max(1, length - overlap)
    windows = cut_windows(samples, length=length, hop=hop, max_windows=max_windows, slack=slack)
    assert 1 <= len(windows.samples) <= max_windows
    assert (windows.num_real >= 1).all()
    assert ((windows.samples > 0).sum(axis=1) == windows.num_real).all()
    assert windows.samples[0, 0] == 1


@pytest.mark.parametrize("option", ["length", "hop", "max_windows"])
def test_counts_must_be_positive(option: str) -> None:
    with pytest.raises(EncoderError, match="each must be at least 1"):
        cut(8, **{option: 0})


def test_gaps_are_refused() -> None:
    with pytest.raises(EncoderError, match="windows of 4 samples every 5 samples would skip some"):
        cut(8, hop=5)


def test_window_length() -> None:
    assert window_length(None, rate_hz=50, longest=128) == 128
    assert window_length(1.0, rate_hz=50, longest=128) == 50
    with pytest.raises(EncoderError, match=r"window_s=3 must be above 0 and at most 2\.56"):
        window_length(3, rate_hz=50, longest=128)
