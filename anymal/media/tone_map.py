"""HDR pixels, PQ or HLG, to the pixels of an SDR film.

SDR white stands for 203 cd/m2, HDR's reference white (ITU-R BT.2408). The knee of ITU-R BT.2390
brings light of up to 1,000 cd/m2 below it; what is brighter becomes white. The steps: signal to
light (SMPTE ST 2084, or ITU-R BT.2100 for HLG), BT.2020's colours to BT.709's, HLG's system gamma
on each value alone, as SDR displays apply theirs, the knee on the largest of a pixel's three
values, which keeps its hue, and the inverse of BT.1886's display.

Shapes: H rows, W columns.
"""

from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Transfer = Literal["pq", "hlg"]
Floats = NDArray[np.float64]

_PEAK, _WHITE = 1000.0, 203.0  # cd/m2
_PQ_PEAK = 10000.0  # cd/m2
_PQ_M1, _PQ_M2 = 2610 / 16384, 2523 / 4096 * 128
_PQ_C1, _PQ_C2, _PQ_C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073
_HLG_GAMMA = 1.2  # of a display with a peak of 1,000 cd/m2
_DISPLAY_GAMMA = 2.4
# ITU-R BT.2087, linear light.
_WIDE_TO_SDR = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    dtype=np.float32,
)
_NUM_LEVELS = 65536
_PIXELS_AT_ONCE = 2**15


def to_sdr(signal: NDArray[np.uint16], transfer: Transfer, *, is_wide: bool) -> NDArray[np.uint8]:
    """Maps a frame's tones and colours.

    Args:
        signal: [H, W, 3], the frame's own RGB over the full range of 16 bits.
        transfer: How its numbers mean light.
        is_wide: Whether its colours are BT.2020's, not BT.709's.

    Returns:
        [H, W, 3] uint8.
    """
    flat = signal.reshape(-1, 3)
    mapped = np.empty(flat.shape, np.uint8)
    # In pieces, because the steps need many times the memory of what they work on.
    for start in range(0, len(flat), _PIXELS_AT_ONCE):
        piece = slice(start, start + _PIXELS_AT_ONCE)
        mapped[piece] = _map(flat[piece], transfer, is_wide=is_wide)
    return mapped.reshape(signal.shape)


def pq_to_light(signal: Floats) -> Floats:
    """The EOTF of SMPTE ST 2084.

    Args:
        signal: Values from 0 to 1.

    Returns:
        cd/m2, up to 10,000.
    """
    power = signal ** (1 / _PQ_M2)
    return _PQ_PEAK * (np.maximum(power - _PQ_C1, 0) / (_PQ_C2 - _PQ_C3 * power)) ** (1 / _PQ_M1)


def light_to_pq(light: Floats) -> Floats:
    """The inverse of `pq_to_light`.

    Args:
        light: cd/m2.

    Returns:
        Values from 0 to 1.
    """
    power = (light / _PQ_PEAK) ** _PQ_M1
    return ((_PQ_C1 + _PQ_C2 * power) / (1 + _PQ_C3 * power)) ** _PQ_M2


def hlg_to_scene(signal: Floats) -> Floats:
    """The inverse OETF of HLG (ITU-R BT.2100, table 5).

    Args:
        signal: Values from 0 to 1.

    Returns:
        Light in the scene, from 0 to 1.
    """
    return np.where(
        signal <= 0.5, signal**2 / 3, (np.exp((signal - _HLG_C) / _HLG_A) + _HLG_B) / 12
    )


def knee(light: Floats) -> Floats:
    """The EETF of ITU-R BT.2390: dark tones stay, bright ones bend towards SDR's white.

    Args:
        light: cd/m2, up to 1,000.

    Returns:
        cd/m2, up to 203.
    """
    source, target = light_to_pq(np.array([_PEAK, _WHITE]))
    level, most = light_to_pq(light) / source, target / source
    start = 1.5 * most - 0.5
    place = np.clip((level - start) / (1 - start), 0, 1)
    bent = (
        (2 * place**3 - 3 * place**2 + 1) * start
        + (place**3 - 2 * place**2 + place) * (1 - start)
        + (-2 * place**3 + 3 * place**2) * most
    )
    return pq_to_light(np.where(level < start, level, bent) * source)


def _map(signal: NDArray[np.uint16], transfer: Transfer, *, is_wide: bool) -> NDArray[np.uint8]:
    """Some pixels, [N, 3]."""
    light = _light_table(transfer).take(signal)
    if is_wide:
        light = np.maximum(light @ _WIDE_TO_SDR.T, 0)
    if transfer == "hlg":
        light = _PEAK * light**_HLG_GAMMA
    # Far faster than the maximum along an axis of three.
    largest = np.maximum(np.maximum(light[:, 0], light[:, 1]), light[:, 2])
    light *= _gain_table().take(_levels(largest / _PEAK))[:, None]
    return _display_table().take(_levels(light))


def _levels(values: NDArray[np.floating[Any]]) -> NDArray[np.uint16]:
    """Places in a table for values from 0 to 1; more counts as 1."""
    return np.asarray(np.minimum(values, 1) * (_NUM_LEVELS - 1)).astype(np.uint16)


@cache
def _light_table(transfer: Transfer) -> NDArray[np.float32]:
    """What each level of a signal means: cd/m2, or for HLG light in the scene."""
    level = np.linspace(0, 1, _NUM_LEVELS)
    light = pq_to_light(level) if transfer == "pq" else hlg_to_scene(level)
    return light.astype(np.float32)


@cache
def _gain_table() -> NDArray[np.float32]:
    """What a pixel is multiplied by, for each level of its largest value: knee over white."""
    light = np.linspace(0, _PEAK, _NUM_LEVELS)
    # The knee leaves the darkest tones alone, where the quotient has no value.
    gain = np.divide(knee(light), light, out=np.ones_like(light), where=light > 0)
    return (gain / _WHITE).astype(np.float32)


@cache
def _display_table() -> NDArray[np.uint8]:
    """The 8-bit value that shows each level of light, on a display as in ITU-R BT.1886."""
    level = np.linspace(0, 1, _NUM_LEVELS) ** (1 / _DISPLAY_GAMMA)
    return np.round(255 * level).astype(np.uint8)
