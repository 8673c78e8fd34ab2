"""The table of modalities; `tests/train/test_fifth_modality.py` adds one from another package."""

import hashlib
import json

import pytest

from anymal.errors import ConversationError, DataError
from anymal.media.limits import Limits
from anymal.modality import MODALITIES, Medium, Modality, blank_part, read_medium
from anymal.protocol.conversation import InputMedia, InputMediaPart


def test_every_part_type_belongs_to_one_modality() -> None:
    part_types = [part_type for row in MODALITIES.values() for part_type in row.part_types]
    assert len(set(part_types)) == len(part_types)
    assert all(name == row.name for name, row in MODALITIES.items())


def test_digest_depends_on_content_and_declared_options() -> None:
    rows = [[1.0, 2.0, 3.0]]
    media = [
        Medium(source=None, samples=rows),
        Medium(source=None, samples=rows, options={"rate_hz": 50}),
        Medium(source=None, samples=rows, options={"rate_hz": 100}),
        Medium(source=None, samples=[[1.0, 2.0, 4.0]]),
    ]
    assert len({medium.digest for medium in media}) == 4
    assert media[0].digest == Medium(source=None, samples=[[1.0, 2.0, 3.0]]).digest


@pytest.mark.parametrize(
    ("modality", "carriers"),
    [("image", "image_url"), ("audio", "input_audio or audio_url")],
)
def test_a_modality_of_the_table_has_its_own_parts(modality: str, carriers: str) -> None:
    part = InputMediaPart(input_media=InputMedia(modality=modality, url="data:,x"))
    with pytest.raises(ConversationError, match=f"{modality} is sent as {carriers}, not as inp"):
        read_medium(part, limits=Limits(), base_dir=None)


def test_a_modality_without_a_blank_file_says_so() -> None:
    row = Modality(name="thermal", decode=lambda medium, limits: None)
    with pytest.raises(DataError, match="'thermal' brings no blank file"):
        blank_part(row)


def test_digest_of_rows_is_that_of_their_json() -> None:
    for rows in ([[1.0, -2.5e-7, 3]], [[]], [[0.1, 0.2, 9.81], [1.0, 2.0, 3.0]]):
        wanted = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
        assert Medium(source=None, samples=rows).digest == wanted
