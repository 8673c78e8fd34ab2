"""The index of a film is counted, whatever stands where its elements should."""

import pytest

from anymal.media.film_index import check_index
from anymal.media.source import Source
from tests.anymal.media.small_films import matroska


# An element whose size has 8, 5 or 2 bytes, of which one is there.
@pytest.mark.parametrize("end", ["ec01", "ec08", "ec40", "a340", "1f43b67501"])
def test_a_size_that_is_cut_ends_the_index(end: str) -> None:
    check_index(Source(name="film", data=matroska() + bytes.fromhex(end)), "matroska")
