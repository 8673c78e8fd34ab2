from collections.abc import Iterator

import numpy as np
import pytest

from anymal.errors import MediaTooLarge, MediaUnsupported
from anymal.media.channels import Block, mix
from anymal.media.limits import Limits
from tests.anymal.media.sounds import tone

LEFT = tone().astype(np.float32)
SILENCE = np.zeros_like(LEFT)


def mixed(*channels: np.ndarray, num_blocks: int = 3) -> np.ndarray:
    parts = np.array_split(np.stack(channels), num_blocks, axis=1)
    return mix(((16000, part) for part in parts), "sound", Limits()).samples


def test_channels_are_averaged() -> None:
    assert mixed(LEFT) == pytest.approx(LEFT)
    assert mixed(LEFT, SILENCE) == pytest.approx(LEFT / 2)
    noise = np.random.default_rng(0).normal(0, 0.1, (2, len(LEFT))).astype(np.float32)
    assert mixed(*noise) == pytest.approx(noise.mean(axis=0), abs=1e-6)


@pytest.mark.parametrize("share", [1.0, 0.8])
@pytest.mark.parametrize("num_silent", [0, 4])
def test_opposed_channels_do_not_cancel(
    share: float, num_silent: int, caplog: pytest.LogCaptureFixture
) -> None:
    channels = (*[SILENCE] * num_silent, -share * LEFT, LEFT)
    found = mixed(*channels)
    assert np.abs(found) == pytest.approx(np.abs(LEFT), abs=0.11)
    assert "the channels cancel each other" in caplog.text


def test_opposed_channels_behind_silence_do_not_cancel() -> None:
    late = np.concatenate([SILENCE, LEFT])
    assert np.abs(mixed(SILENCE.repeat(2), late, -late)).max() == pytest.approx(0.5, abs=0.01)


def test_silence_stays_silence(caplog: pytest.LogCaptureFixture) -> None:
    assert not mixed(SILENCE, SILENCE).any()
    assert not caplog.text


def test_the_number_of_channels_may_change() -> None:
    blocks = [(16000, np.stack([LEFT, -LEFT])), (16000, LEFT[None]), (16000, np.stack([LEFT] * 6))]
    assert len(mix(iter(blocks), "sound", Limits()).samples) == 3 * len(LEFT)


def test_one_rate_holds_throughout() -> None:
    with pytest.raises(MediaUnsupported, match="rate changes from 16000 to 8000 Hz"):
        mix(iter([(16000, LEFT[None]), (8000, LEFT[None])]), "sound", Limits())


def test_nothing_is_read_past_the_limit() -> None:
    def endless() -> Iterator[Block]:
        while True:
            yield 16000, LEFT[None]

    with pytest.raises(MediaTooLarge, match="at most 600 seconds"):
        mix(endless(), "sound", Limits())
