"""An archive of arrays is read as a whole, and unpacked no further than it declares."""

import io
import struct
import tracemalloc
import zipfile
from collections.abc import Callable

import numpy as np
import pytest

from anymal.errors import MediaCorrupt, MediaUnsupported
from anymal.media.imu.arrays import read_npy, read_npz
from anymal.media.limits import Limits
from anymal.media.source import Source

NAMES = ("t_ms", "ax", "ay", "az")
RECORD = np.array([(20 * row, row, 2, 9.8) for row in range(9)], [(name, "f8") for name in NAMES])


@pytest.mark.parametrize("member", ["samples", "walk"])
def test_named_fields_are_read_as_in_an_array_of_their_own(
    member: str, array_file: Callable[..., bytes], archive: Callable[..., bytes]
) -> None:
    alone = read_npy(Source(name="walk.npy", data=array_file(RECORD)), Limits())
    packed = read_npz(Source(name="walk.npz", data=archive(**{member: RECORD})), Limits())
    assert np.array_equal(packed.time_s, alone.time_s)
    assert packed.time_s[1] == 0.02
    assert packed.channels.keys() == alone.channels.keys() == {"ax", "ay", "az"}
    for channel, values in packed.channels.items():
        assert np.array_equal(values, alone.channels[channel])


def test_a_column_inside_samples_and_beside_it_is_refused(archive: Callable[..., bytes]) -> None:
    for samples in (RECORD, np.zeros((9, 3))):
        data = archive(samples=samples, ax=np.ones(9))
        with pytest.raises(MediaUnsupported, match="ax both in `samples` and beside it"):
            read_npz(Source(name="walk.npz", data=data), Limits())


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_an_archive_is_unpacked_no_further_than_it_declares(method: int) -> None:
    """Sixteen megabytes, of which the directory says that they are a hundred bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("samples.npy", bytes(2**24))
    data = bytearray(file.getvalue())
    for mark, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        struct.pack_into("<I", data, data.index(mark) + offset, 100)
    source = Source(name="lying.npz", data=bytes(data))
    tracemalloc.start()
    try:
        with pytest.raises((MediaCorrupt, MediaUnsupported)):
            read_npz(source, Limits())
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
