"""What an import holds in memory: the model, and at most one of its files beside it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from anymal.published.importing import load_source, write_parts
from anymal.published.source import checked_source
from tests.systems.original import save_original

STATUS = Path("/proc/self/status")
MIB = 2**20
SLACK = 24 * MIB  # of Python and the allocator, which gives memory back when it likes
WIDE = {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 4, "vocab_size": 2000}


def held() -> int:
    """Resident bytes of this process, mapped files among them."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


class Peak:
    """The most that was held."""

    def __init__(self) -> None:
        self.bytes = 0

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Look all the time."""
        is_over = threading.Event()
        before = held()

        def look() -> None:
            while not is_over.wait(0.002):
                self.bytes = max(self.bytes, held() - before)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()


@pytest.mark.skipif(not STATUS.is_file(), reason="it is Linux that tells")
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, marks=pytest.mark.slow),
        {"pickles": True, "legacy": True},
        pytest.param({"pickles": True}, marks=pytest.mark.slow),
    ],
)
def test_at_most_one_file_is_held_beside_the_model(
    tmp_path: Path, options: dict[str, bool]
) -> None:
    folder = save_original(tmp_path / "llava", shards=8, text_changes=WIDE, **options)
    source, peak = checked_source(folder), Peak()
    with peak.watch():
        published = load_source(source)
        write_parts(source.importer, published, tmp_path / "draft")
    model = sum(p.numel() * p.element_size() for p in published.model.parameters())
    sizes = [file.stat().st_size for file in folder.glob("*-of-*")]
    assert len(sizes) == 8
    assert peak.bytes <= model + max(sizes) + SLACK < 2 * model
