"""Qwen2-Audio: what an imported model computes and says of sounds is what its class does.

Works when: one soft token stands for each averaged position of the sound and none for silence, the
silence behind a sound is not heard, and greedy answers about two sounds of different length in one
conversation equal the class's `generate`.
"""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from anymal.bundle.load import load_bundle
from anymal.errors import BundleError
from anymal.published import registry
from anymal.published.importing import import_model
from anymal.published.probe import Probe, two_turns
from anymal.published.qwen2_audio import QWEN2_AUDIO, qwen2_audio_parts
from anymal.sample import SLOT_ID
from tests.anymal.bundle.strangers import edit
from tests.systems.agreement import check_served, class_answer, imported, served_answer
from tests.systems.sounding_checkpoints import save_qwen2_audio


@pytest.fixture(name="folders", scope="module")
def _folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("qwen2_audio")
    imported(save_qwen2_audio(folder / "published"), folder / "bundle")
    return folder / "published", folder / "bundle"


def test_it_is_served_as_its_class_generates(folders: tuple[Path, Path]) -> None:
    check_served(*folders, "audio")


def test_what_it_says_depends_on_the_sounds(folders: tuple[Path, Path]) -> None:
    own = two_turns("audio")
    other = Probe(modality="audio", media=[sound[::3] // 2 for sound in own.media])
    said = [served_answer(folders[1], probe) for probe in (own, other)]
    assert said[0] != said[1]
    assert said[1].strip() == class_answer(folders[0], other).strip()


def test_a_sound_takes_a_soft_token_for_each_two_positions(folders: tuple[Path, Path]) -> None:
    processor = load_bundle(folders[1]).processor
    ids = processor(two_turns("audio").record(), generate=True).ids
    # Of 1.5 s the first second is read, 50 positions; 0.8 s are 40.
    assert int((ids == SLOT_ID).sum()) == 25 + 20
    text = processor.tokenizer.decode(ids[ids != SLOT_ID])
    assert "Audio 1: <|audio_bos|><|audio_eos|>" in text
    assert "Audio 2: <|audio_bos|><|audio_eos|>" in text


def test_an_encoder_that_hears_the_silence_is_refused(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hearing_all(published: Any) -> Any:
        audio = qwen2_audio_parts(published)["audio"]
        encoder = audio.encoder.model_copy(update={"silence": None})
        return {"audio": dataclasses.replace(audio, encoder=encoder)}

    wrong = dataclasses.replace(QWEN2_AUDIO, parts=hearing_all)
    monkeypatch.setitem(registry.IMPORTERS, QWEN2_AUDIO.class_name, wrong)
    with pytest.raises(BundleError, match="would differ from Qwen2AudioForConditionalGeneration"):
        import_model(folders[0], tmp_path / "bundle", tell=lambda _: None)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("key", ["chunk_length", "feature_size", "n_fft"])
def test_sounds_beyond_measure_are_refused(
    folders: tuple[Path, Path], tmp_path: Path, key: str
) -> None:
    folder = Path(shutil.copytree(folders[0], tmp_path / "published"))
    edit(folder / "processor_config.json", "feature_extractor", key, to=10**5)
    with pytest.raises(BundleError, match=f"says {key}: 100000, more than"):
        import_model(folder, tmp_path / "bundle", tell=lambda _: None)
    assert [*tmp_path.iterdir()] == [folder]
