"""What an imported model says over HTTP, beside what its class generates."""

from pathlib import Path
from typing import Any

import httpx
import torch

from anymal.bundle.load import describe
from anymal.bundle.manifest import ParityFacts
from anymal.published.importing import import_model
from anymal.published.probe import Probe, two_turns
from anymal.published.source import checked_source
from server.app import create_app
from server.served.backend import load_backend
from server.settings import Settings
from tests.bridge import bridge

LIMIT = 1e-4  # of logits, at every position
_ANSWER = 12  # tokens


def imported(folder: Path, out: Path, **options: Any) -> ParityFacts:
    """Import a checkpoint; checks that it agrees, and that its manifest says so."""
    facts = import_model(folder, out, tell=lambda _: None, **options)
    assert facts == describe(out).parity
    assert max(facts.logits, facts.soft_tokens) <= LIMIT, facts
    assert facts.positions > 0
    return facts


def class_answer(folder: Path, probe: Probe) -> str:
    """The class's own greedy answer, by its own processor and chat template."""
    importer = checked_source(folder).importer
    published = importer.load(folder)
    inputs = dict(importer.inputs(published, probe))
    with torch.no_grad():
        ids = published.model.generate(**inputs, do_sample=False, max_new_tokens=_ANSWER)
    new = ids[0, inputs["input_ids"].shape[1] :]
    text: str = published.processor.tokenizer.decode(new, skip_special_tokens=True)
    return text


def served_answer(bundle: Path, probe: Probe) -> str:
    """The bundle's greedy answer, from the real service."""
    backend = load_backend(Settings(bundle=str(bundle), precision="fp32"))
    app = create_app(Settings(decode_workers=0), backend)
    body = {**probe.record(), "max_tokens": _ANSWER, "temperature": 0}
    try:
        with httpx.Client(transport=bridge(app), base_url="http://127.0.0.1") as http:
            response = http.post("/v1/chat/completions", json=body)
    finally:
        backend.engine.close()
    assert response.status_code == 200, response.text
    text: str = response.json()["choices"][0]["message"]["content"]
    return text


def check_served(folder: Path, bundle: Path, modality: str = "image") -> None:
    """Two media of different sizes in one conversation: both say the same, and media matter."""
    probe = two_turns(modality)
    said = served_answer(bundle, probe)
    assert said.strip() == class_answer(folder, probe).strip() != ""
