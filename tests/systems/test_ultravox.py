"""Ultravox: a layout that is no class of transformers; what it computes is written here anew.

Works when: the projector stacks 8 positions, scales them by their root mean square, and gates one
half by the other; its second norm stands in the middle or at the end; Whisper hears no silence
behind a sound; greedy answers about two sounds of different length in one conversation are those of
the language model it names; and none of the code that it brings runs.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, WhisperFeatureExtractor, WhisperModel
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from anymal.bundle.load import describe, load_bundle
from anymal.collate import collate
from anymal.errors import BundleError
from anymal.published.importing import import_model
from anymal.published.probe import two_turns
from anymal.sample import SLOT_ID
from tests.systems.agreement import imported, served_answer
from tests.systems.sounding_checkpoints import save_ultravox


def normed(states: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return states
    norm = LlamaRMSNorm(len(weight), eps=1e-6)
    norm.weight.data = weight
    return norm(states)


def projected(folder: Path, positions: Tensor) -> Tensor:
    """The projector in five lines."""
    w = {n.split(".")[1]: t for n, t in load_file(folder / "model.safetensors").items()}
    stacked = F.pad(positions, (0, 0, 0, -len(positions) % 8)).reshape(-1, 8 * positions.shape[1])
    left, right = (normed(stacked, w["ln_pre"]) @ w["linear_1"].T).chunk(2, dim=-1)
    return normed(normed(left * F.silu(right), w.get("ln_mid")) @ w["linear_2"].T, w.get("ln_post"))


def soft_tokens(folder: Path, sound: Any) -> Tensor:
    """Of one sound, from Whisper at the sound's own length, chunk by chunk."""
    audio = json.loads((folder / "config.json").read_text())["audio_model_id"]
    extractor = WhisperFeatureExtractor.from_pretrained(audio)
    options = {"sampling_rate": 16000, "padding": "longest", "truncation": False}
    mel = extractor(sound, **options, pad_to_multiple_of=160, return_tensors="pt").input_features
    tower = WhisperModel.from_pretrained(audio).encoder.eval()
    made = []
    for chunk in mel.split(100, dim=2):
        states = F.gelu(tower.conv2(F.gelu(tower.conv1(chunk)))).transpose(1, 2)
        states = states + tower.embed_positions.weight[: states.shape[1]]
        for layer in tower.layers:
            states = layer(states, None)
        made.append(projected(folder, tower.layer_norm(states)[0]))
    return torch.cat(made)


@torch.no_grad()
def expected_answer(folder: Path, bundle: Path) -> str:
    """What the language model that it names says, soft tokens among its words."""
    probe = two_turns("audio")
    processor = load_bundle(bundle).processor
    ids = processor(probe.record(), generate=True).ids[None]
    llm = AutoModelForCausalLM.from_pretrained(
        json.loads((folder / "config.json").read_text())["text_model_id"]
    )
    embeddings = llm.get_input_embeddings()(ids.clamp(min=0))
    heard = [soft_tokens(folder, sound) for sound in probe.arguments()["audio"]]
    embeddings[ids == SLOT_ID] = torch.cat(heard)
    said = llm.generate(inputs_embeds=embeddings, do_sample=False, max_new_tokens=12)
    text: str = processor.tokenizer.decode(said[0], skip_special_tokens=True)
    return text


@pytest.fixture(name="both", scope="module")
def _both(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, tuple[Path, Path]]:
    """Checkpoints with a norm in the middle and at the end, and their bundles."""
    made = {}
    for in_middle in (True, False):
        place = tmp_path_factory.mktemp("ultravox")
        folder = save_ultravox(place / "published", in_middle=in_middle)
        imported(folder, place / "bundle")
        made[in_middle] = folder, place / "bundle"
    return made


@pytest.mark.parametrize("in_middle", [True, False])
def test_it_is_served_as_the_layout_says(
    both: dict[bool, tuple[Path, Path]], in_middle: bool
) -> None:
    folder, bundle = both[in_middle]
    assert describe(bundle).recipe.modalities["audio"].encoder.options["group"] == 8
    said = served_answer(bundle, two_turns("audio"))
    assert said.strip() == expected_answer(folder, bundle).strip() != ""


@torch.no_grad()
def test_its_soft_tokens_are_those_of_the_layout(both: dict[bool, tuple[Path, Path]]) -> None:
    folder, bundle = both[True]
    assembled, probe = load_bundle(bundle), two_turns("audio")
    batch = collate([assembled.processor(probe.record(), generate=True)], pad_id=0)
    ours = assembled.model.align(assembled.model.encode(batch.media))["audio"].flat()
    theirs = torch.cat([soft_tokens(folder, sound) for sound in probe.arguments()["audio"]])
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_a_trained_tower_comes_from_the_file(
    both: dict[bool, tuple[Path, Path]], tmp_path: Path
) -> None:
    original, named = both[True]
    folder = Path(shutil.copytree(original, tmp_path / "published"))
    config = json.loads((folder / "config.json").read_text())
    whisper = WhisperModel.from_pretrained(config["audio_model_id"])
    tower = {f"audio_tower.{n}": 1.01 * t for n, t in whisper.encoder.state_dict().items()}
    weights = load_file(folder / "model.safetensors") | tower
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    own = {"audio_model_id": None, "audio_config": whisper.config.to_dict()}
    (folder / "config.json").write_text(json.dumps(config | own))
    whole = imported(folder, tmp_path / "whole")
    first, second = describe(named), describe(tmp_path / "whole")
    assert first.parity is not None
    assert whole.positions == first.parity.positions
    assert first.modalities["audio"].fingerprint != second.modalities["audio"].fingerprint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text_model_id": None}, "and no text_model_id"),
        ({"audio_latency_block_size": 100}, "hears in blocks"),
        ({"projector_act": "gelu"}, "only swiglu can be read"),
        ({"text_model_id": "nobody/nothing"}, "which is not on this machine"),
    ],
)
def test_other_variants_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    folder = save_ultravox(tmp_path / "published", **changes)
    with pytest.raises(BundleError, match=message):
        import_model(folder, tmp_path / "bundle", tell=lambda _: None)
    assert not (tmp_path / "bundle").exists()


def test_weights_beside_the_projector_are_refused(tmp_path: Path) -> None:
    folder = save_ultravox(tmp_path / "published")
    weights = load_file(folder / "model.safetensors")
    weights["language_model.base_model.lora_A.weight"] = torch.zeros(1)
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(BundleError, match=r"such as 'language_model\..*lora_A"):
        import_model(folder, tmp_path / "bundle", tell=lambda _: None)
