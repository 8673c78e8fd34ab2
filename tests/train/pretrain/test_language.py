import json
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from anymal.bundle.manifest import bundle_folder
from train.pretrain import language


def test_the_language_model_learns_is_measured_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language, "_HELD_OUT", 4)
    monkeypatch.setattr(language, "_REFUSALS", 4)
    known = AutoTokenizer.from_pretrained(bundle_folder("tiny") / "llm")
    monkeypatch.setattr(language, "train_tokenizer", lambda rng: known)
    first, further = tmp_path / "first", tmp_path / "further"
    language.main(first, steps=2)
    language.main(further, start=first, steps=2, seed=1)
    values = []
    for folder in (first, further):
        report = json.loads((folder / "pretraining.json").read_text())
        assert all(0 <= share <= 1 for share in report.values())
        assert AutoTokenizer.from_pretrained(folder).get_vocab() == known.get_vocab()
        model = language.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
        values.append(model.lm_head.weight)
    assert not torch.equal(*values)
