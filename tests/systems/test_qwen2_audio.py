"""Qwen2-Audio: what an imported model computes and says of sounds is what its class does.

Works when: one soft token stands for each averaged position of the sound and none for silence, the
silence behind a sound is not heard, and greedy answers about two sounds of different length in one
conversation equal the class's `generate`.
"""

from pathlib import Path

from tests.systems.agreement import check_served, imported
from tests.systems.sounding_checkpoints import save_qwen2_audio


def test_it_is_served_as_its_class_generates(tmp_path: Path) -> None:
    folder = save_qwen2_audio(tmp_path / "published")
    imported(folder, tmp_path / "bundle")
    check_served(folder, tmp_path / "bundle", "audio")
