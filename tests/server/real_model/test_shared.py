"""Soft tokens that come back, and bundles that share a language model."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from safetensors.torch import load_file, save_file

from anymal.assemble import build
from anymal.bundle.load import load_bundle
from anymal.bundle.save import save_bundle
from anymal.client import Client
from anymal.media.soft_token_file import pack
from anymal.recipe.schema import ModelRecipe
from server.app import create_app
from server.edge.keys import Caller
from server.routes.dependencies import calling
from server.served.backend import load_backend
from server.served.models import Backend
from server.served.shared_engines import SharedEngines
from server.settings import Settings

QUESTION = "What is it?"
CHAT = "/v1/chat/completions"


def asked(*content: Any) -> dict[str, Any]:
    parts = [*content, {"type": "text", "text": QUESTION}]
    return {"messages": [{"role": "user", "content": parts}], "max_tokens": 8}


@pytest.fixture(scope="module")
def served(bundle: Path) -> Iterator[Backend]:
    backend = load_backend(Settings(bundle=str(bundle)))
    yield backend
    backend.close()


@pytest.mark.parametrize("kind", ["image", "video", "audio", "imu"])
def test_soft_tokens_sent_back_get_the_answer_of_their_medium(
    served: Backend, make_bridge: Callable[..., Any], files: dict[str, Path], kind: str
) -> None:
    app = create_app(Settings(decode_workers=0), served)
    app.dependency_overrides[calling] = lambda: Caller(name="lab", may_send_embeds=True)
    media: Any = {kind: files[kind], **({"imu_rate_hz": 50} if kind == "imu" else {})}
    with Client(base_url="http://unused") as client:
        (medium, _) = client.message(QUESTION, **media).model_dump(mode="json")["content"]
    with httpx.Client(transport=make_bridge(app), base_url="http://anymal") as http:
        reply = http.post("/v1/align", json={"input": medium}).json()
        assert reply["shape"] == [32, 64]
        given = {"data": reply["embeds"], "modality": reply["modality"]}
        embeds = {"type": "prompt_embeds", "prompt_embeds": given}
        direct = http.post(CHAT, json=asked(medium)).json()
        again = http.post(CHAT, json=asked(embeds)).json()
    assert again["choices"] == direct["choices"]
    assert again["usage"]["prompt_tokens"] == direct["usage"]["prompt_tokens"]
    assert again["usage"]["prompt_tokens_details"]["embeds_tokens"] == 32


def test_wrong_width_is_refused(served: Backend, make_bridge: Callable[..., Any]) -> None:
    app = create_app(Settings(), served)
    app.dependency_overrides[calling] = lambda: Caller(name="lab", may_send_embeds=True)
    embeds = {"type": "prompt_embeds", "prompt_embeds": {"data": pack(torch.zeros(2, 15))}}
    with httpx.Client(transport=make_bridge(app), base_url="http://anymal") as http:
        response = http.post(CHAT, json=asked(embeds))
    assert response.status_code == 400
    assert "[2, 15]" in response.json()["error"]["message"]


@pytest.fixture(scope="module")
def sibling(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same language model with aligners of its own."""
    assembled = load_bundle(bundle)
    with torch.no_grad():
        for parameter in assembled.model.aligners.parameters():
            parameter.add_(1.0)
    return save_bundle(assembled, tmp_path_factory.mktemp("parts") / "sibling")


@pytest.fixture(scope="module")
def stranger(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another language model, different in one number far behind its embeddings."""
    folder = tmp_path_factory.mktemp("parts") / "stranger"
    shutil.copytree(bundle, folder)
    weights = load_file(folder / "llm" / "model.safetensors")
    weights["model.norm.weight"][3] += 0.5
    save_file(weights, folder / "llm" / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_bundles_share_an_engine_where_the_language_model_is_the_same(
    bundle: Path,
    sibling: Path,
    stranger: Path,
    files: dict[str, Path],
    make_bridge: Callable[..., Any],
) -> None:
    engines = SharedEngines()
    first, second, third = (
        load_backend(Settings(bundle=str(folder)), engines=engines)
        for folder in (bundle, sibling, stranger)
    )
    assert first.engine is second.engine
    assert third.engine is not first.engine
    first.close()
    assert second.engine.stats().running == 0
    alone = load_backend(Settings(bundle=str(sibling)))
    with Client(base_url="http://unused") as client:
        message = client.message(QUESTION, image=files["image"]).model_dump(mode="json")
    body = {"messages": [message], "max_tokens": 8}
    said = []
    for backend in (second, alone):
        transport = make_bridge(create_app(Settings(decode_workers=0), backend))
        with httpx.Client(transport=transport, base_url="http://anymal") as http:
            said.append(http.post(CHAT, json=body).json()["choices"])
    assert said[0] == said[1]
    for backend in (second, third, alone):
        backend.close()


def test_lora_of_another_scale_shares_no_engine(
    model_recipe: Callable[..., ModelRecipe], tmp_path: Path
) -> None:
    def save(alpha: int) -> Path:
        torch.manual_seed(0)
        recipe = model_recipe("image", lora={"r": 2, "alpha": alpha}, embed=True)
        assembled = build(recipe)
        with torch.no_grad():
            for parameter in assembled.model.llm.lora_parameters().values():
                torch.nn.init.normal_(parameter)
        return save_bundle(assembled, tmp_path / str(alpha))

    engines = SharedEngines()
    settings = [Settings(bundle=str(save(alpha)), merge_lora=False) for alpha in (1, 1, 30)]
    first, same, stronger = (load_backend(each, engines=engines) for each in settings)
    try:
        assert first.engine is same.engine
        assert stronger.engine is not first.engine
    finally:
        for backend in (first, same, stronger):
            backend.close()
