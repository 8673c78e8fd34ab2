"""A bundle that reads media beside the row, served; the oracle is the path that trains it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import torch
from torch import nn

from anymal.assemble import Assembled, build
from anymal.bundle.save import save_bundle
from anymal.collate import collate
from anymal.media.soft_token_file import pack
from anymal.recipe.schema import ModelRecipe
from anymal.recipe.side import CrossRecipe, PrefixRecipe
from server.app import create_app
from server.edge.keys import Caller
from server.routes.dependencies import calling
from server.served.backend import load_backend
from server.served.shared_engines import SharedEngines
from server.settings import Settings
from tests.bridge import bridge
from tests.tiny import png, talk

CHAT, NUM_NEW, QUESTION = "/v1/chat/completions", 8, "What is it?"
RED, BLUE = (255, 0, 0), (0, 0, 255)
WIDTH = 24  # of media, where a side says so
SIDES = {
    "cross": CrossRecipe(kind="cross", media_dim=WIDTH, num_heads=2, head_dim=8),
    "prefix": PrefixRecipe(kind="prefix", num_tokens=32),
}


@pytest.fixture(scope="module", params=SIDES)
def sided(
    request: Any,
    model_recipe: Callable[..., ModelRecipe],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[SimpleNamespace]:
    """A random model with a side, its bundle, and the service of it."""
    torch.manual_seed(0)
    recipe = model_recipe("image", aligner={"kind": "linear", "num_tokens": 32}, embed=True)
    model = build(recipe.model_copy(update={"side": SIDES[request.param]}))
    for name, parameter in model.model.side.named_parameters():  # type: ignore[union-attr]
        if "gate" in name and parameter.ndim == 1:
            nn.init.uniform_(parameter, 0.5, 1.5)
    bundle = save_bundle(model, tmp_path_factory.mktemp("parts") / request.param)
    backend = load_backend(Settings(bundle=str(bundle)))
    app = create_app(Settings(decode_workers=0), backend)
    app.dependency_overrides[calling] = lambda: Caller(name="lab", may_send_embeds=True)
    with httpx.Client(transport=bridge(app), base_url="http://127.0.0.1") as http:
        yield SimpleNamespace(model=model, bundle=bundle, http=http, kind=request.param)
    backend.close()


@torch.no_grad()
def trained_path(model: Assembled, record: Any) -> str:
    """Greedy words, the whole conversation read again for each."""
    sample = model.processor(record, generate=True)
    length = len(sample.ids)
    for _ in range(NUM_NEW):
        batch = collate([sample], pad_id=model.processor.pad_id)
        soft_tokens = model.model.align(model.model.encode(batch.media))
        rows = model.model.fuse(batch, soft_tokens)
        hidden = model.model.decode(rows, batch, model.model.beside(batch, soft_tokens))
        ids = torch.cat([sample.ids, model.model.llm.head(hidden[0, -1:]).argmax(dim=-1)])
        sample = replace(sample, ids=ids, labels=torch.full_like(ids, -100))
    text: str = model.processor.tokenizer.decode(sample.ids[length:], skip_special_tokens=True)
    return text


def ask(http: httpx.Client, record: Any) -> dict[str, Any]:
    body = {"messages": record["messages"], "max_tokens": NUM_NEW, "temperature": 0}
    response = http.post(CHAT, json=body | {"ignore_eos": True})
    assert response.status_code == 200, response.text
    reply: dict[str, Any] = response.json()
    return reply


def test_it_says_what_the_path_that_trains_it_says(sided: SimpleNamespace) -> None:
    answers = []
    for images in ([RED], [BLUE], [RED, BLUE], [RED], []):
        record = talk(QUESTION, images=images)
        reply = ask(sided.http, record)
        answers.append(reply["choices"][0]["message"]["content"])
        assert answers[-1].strip() == trained_path(sided.model, record).strip()
        details = reply["usage"]["prompt_tokens_details"]
        assert details["text_tokens"] == reply["usage"]["prompt_tokens"], "media take no positions"
        assert details.get("image_tokens", 0) == 0
    assert answers[0] == answers[3]
    assert len({answers[0], answers[1], answers[4]}) == 3, "pictures matter"


def test_soft_tokens_can_be_read_and_not_sent_back(sided: SimpleNamespace) -> None:
    medium = {"type": "image_url", "image_url": {"url": png(RED)}}
    reply = sided.http.post("/v1/align", json={"input": medium}).json()
    assert reply["beside"] is True
    assert reply["shape"] == [32, WIDTH if sided.kind == "cross" else 64]
    given = {"type": "prompt_embeds", "prompt_embeds": {"data": pack(torch.zeros(2, 64))}}
    body = {"messages": [{"role": "user", "content": [given]}]}
    response = sided.http.post(CHAT, json=body)
    assert response.status_code == 400
    assert "takes no prompt_embeds; send the medium itself" in response.json()["error"]["message"]


def test_two_of_them_share_no_engine(sided: SimpleNamespace) -> None:
    engines = SharedEngines()
    settings = Settings(bundle=str(sided.bundle))
    first, second = (load_backend(settings, engines=engines) for _ in range(2))
    try:
        assert first.engine is not second.engine
    finally:
        first.close()
        second.close()
