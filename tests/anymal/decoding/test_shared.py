"""Values through memory without a name."""

import gc
import os
import weakref
from pathlib import Path

import numpy as np

from anymal.decoding.shared import pack, unpack


def there_and_back(value: object) -> object:
    packed, memory = pack(value)
    try:
        return unpack(packed, memory)
    finally:
        os.close(memory)


def test_arrays_come_back_as_they_were() -> None:
    rng = np.random.default_rng(0)
    value = {
        "pixels": rng.integers(0, 256, (3, 5, 7), dtype=np.uint8),
        "times": rng.normal(size=9),
        "turned": np.asfortranarray(rng.normal(size=(4, 6)).astype(np.float32)),
        "every other": rng.normal(size=20)[::2],
        "empty": np.zeros((0, 6), dtype=np.float32),
        "rate": 44100,
    }
    found = there_and_back(value)
    assert isinstance(found, dict)
    assert found.keys() == value.keys()
    for name, array in value.items():
        assert np.array_equal(found[name], array)
        if isinstance(array, np.ndarray):
            assert found[name].dtype == array.dtype
            assert found[name].flags.writeable


def test_a_value_without_arrays() -> None:
    assert there_and_back(("walk.csv", 50.0, None)) == ("walk.csv", 50.0, None)


def test_arrays_keep_their_memory_and_free_it() -> None:
    packed, memory = pack(np.arange(10**6))
    array = unpack(packed, memory)
    os.close(memory)
    assert packed.sizes == (array.nbytes,)
    assert len(packed.head) < 1000
    part = array[5:10]
    owner = part.base
    while isinstance(owner, np.ndarray):
        owner = owner.base
    assert isinstance(owner, memoryview)
    held = weakref.ref(owner.obj)
    del array, owner
    assert part.tolist() == [5, 6, 7, 8, 9]
    assert held() is not None
    del part
    gc.collect()
    assert held() is None


def test_no_folder_lists_the_memory() -> None:
    shared = Path("/dev/shm")
    before = set(shared.glob("*")) if shared.is_dir() else set()
    _, memory = pack(np.zeros(10**5))
    assert (set(shared.glob("*")) if shared.is_dir() else set()) - before == set()
    os.close(memory)
