"""Values are worked out by hand from the standards that `tone_map` names."""

import numpy as np
import pytest

from anymal.media.tone_map import (
    Transfer,
    hlg_to_scene,
    knee,
    light_to_pq,
    pq_to_light,
    to_sdr,
)


def shown(transfer: Transfer, *signal: float, is_wide: bool = True) -> list[int]:
    levels = np.round(np.array(signal) * 65535).astype(np.uint16)
    return to_sdr(levels[None, None], transfer, is_wide=is_wide)[0, 0].tolist()


@pytest.mark.parametrize(
    # ITU-R BT.2408, table 1 and text: 58% is 203 cd/m2, 75% is 1,000, 51% is 100.
    ("light", "signal"),
    [(0, 0), (0.1, 0.0623), (100, 0.5081), (203, 0.5807), (1000, 0.7518), (10_000, 1)],
)
def test_pq_is_light_by_st_2084(light: float, signal: float) -> None:
    assert float(light_to_pq(np.array(float(light)))) == pytest.approx(signal, abs=1e-4)
    assert float(pq_to_light(np.array(signal))) == pytest.approx(light, rel=5e-3, abs=1e-6)


@pytest.mark.parametrize(
    # Below half: a third of the square. 75%: (exp((0.75 - 0.5599) / 0.1788) + 0.2847) / 12.
    ("signal", "light"),
    [(0, 0), (0.25, 1 / 48), (0.5, 1 / 12), (0.75, 0.26496), (1, 1)],
)
def test_hlg_is_light_in_the_scene_by_bt_2100(signal: float, light: float) -> None:
    assert float(hlg_to_scene(np.array(float(signal)))) == pytest.approx(light, abs=1e-5)


def test_the_knee_keeps_dark_tones_and_ends_at_white() -> None:
    # White's share of the peak in PQ is 0.77237, so the knee starts at 0.65856: 87 cd/m2. White
    # lies a third of the way up: 20/27 of the start, 4/27 of the rest, 7/27 of white's share make
    # 0.73864, and that is 159 cd/m2.
    light = np.array([0.01, 1, 50, 85, 203, 1000])
    assert knee(light) == pytest.approx([0.01, 1, 50, 85, 159.0, 203], rel=1e-3)
    assert (np.diff(knee(np.linspace(0, 1000, 5000))) > 0).all()


@pytest.mark.parametrize(
    # 255 * (knee(light) / 203) ** (1 / 2.4)
    ("signal", "grey"),
    [(0, 0), (0.1499, 28), (0.4403, 142), (0.5081, 189), (0.5807, 230), (0.7518, 255), (1, 255)],
)
def test_grey_in_pq(signal: float, grey: int) -> None:
    assert shown("pq", signal, signal, signal) == pytest.approx([grey] * 3, abs=1)


@pytest.mark.parametrize(
    # 1000 * scene ** 1.2, then as above: 75% is 203 cd/m2.
    ("signal", "grey"),
    [(0, 0), (0.25, 72), (0.5, 143), (0.75, 230), (1, 255)],
)
def test_grey_in_hlg(signal: float, grey: int) -> None:
    assert shown("hlg", signal, signal, signal) == pytest.approx([grey] * 3, abs=1)


@pytest.mark.parametrize(
    # ITU-R BT.2087: BT.709's red, green and blue as BT.2020 writes them.
    ("wide", "colour"),
    [
        ((0.6274, 0.0691, 0.0164), (189, 0, 0)),
        ((0.3293, 0.9195, 0.0880), (0, 189, 0)),
        ((0.0433, 0.0114, 0.8956), (0, 0, 189)),
    ],
)
def test_wide_colours_become_those_of_sdr(wide: tuple[float, ...], colour: tuple[int, ...]) -> None:
    signal = light_to_pq(100 * np.array(wide))
    assert shown("pq", *signal) == pytest.approx(colour, abs=4)


def test_bt_709s_colours_stay() -> None:
    assert shown("pq", 0.5081, 0, 0, is_wide=False) == pytest.approx([189, 0, 0], abs=1)


def test_bright_colours_keep_their_hue() -> None:
    red, green, blue = shown("pq", 0.7518, 0.5081, 0.5081, is_wide=False)
    assert red == 255
    assert green == blue == pytest.approx(255 * 0.1 ** (1 / 2.4), abs=1)
