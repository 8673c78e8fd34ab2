from pathlib import Path

import pytest

from anymal.data.containers.shards import find_shards
from anymal.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(12):
        (tmp_path / f"a-{number:06}.tar").touch()
    (tmp_path / "b.parquet").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a-{000009..000011}.tar", ["a-000009.tar", "a-000010.tar", "a-000011.tar"]),
        ("a-000{00..01}{0..0}.tar", ["a-000000.tar", "a-000010.tar"]),
        ("a-00001?.tar", ["a-000010.tar", "a-000011.tar"]),
        ("a-000003.tar", ["a-000003.tar"]),
    ],
)
def test_patterns_stand_for_files_in_order(folder: Path, pattern: str, names: list[str]) -> None:
    assert [path.name for path in find_shards(folder / pattern, ".tar")] == names


def test_a_folder_stands_for_its_files_of_one_ending(folder: Path) -> None:
    assert len(find_shards(folder, ".tar")) == 12


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("a-{000010..000013}.tar", "2 of 4 files .* do not exist, such as .*a-000012.tar"),
        ("a-{000003..000001}.tar", "a range goes up"),
        ("a-{0..9999999}.tar", "a range goes up"),
        ("c*.tar", "holds no .tar file"),
        ("c.tar", "1 of 1 files"),
    ],
)
def test_patterns_without_files_are_refused(folder: Path, pattern: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        find_shards(folder / pattern, ".tar")
