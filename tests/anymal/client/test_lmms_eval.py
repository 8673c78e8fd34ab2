"""The model of lmms-eval, on a small copy of the parts of lmms-eval 0.7.3 that it touches."""

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from anymal.errors import MediaNotFound, MediaUnsupported
from anymal.protocol.sizes import MAX_ANSWERS

WHERE = ("words", "test")
DOCUMENTS = ["first", "second", "third"]


class Lmms:
    """The base class: it takes no arguments, and lmms-eval fills `task_dict`."""

    is_simple = True

    def __init__(self) -> None:
        self.task_dict: dict[str, Any] = {}


@dataclass
class TokenCounts:
    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass
class GenerationResult:
    text: Any
    token_counts: TokenCounts | None = None


@dataclass(frozen=True)
class ModelManifest:
    model_id: str
    simple_class_path: str | None = None
    chat_class_path: str | None = None
    aliases: tuple[str, ...] = ()


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module, as it is with lmms-eval there."""
    held: dict[str, dict[str, Any]] = {
        "lmms_eval": {},
        "lmms_eval.api": {},
        "lmms_eval.api.instance": {
            "GenerationResult": GenerationResult,
            "TokenCounts": TokenCounts,
        },
        "lmms_eval.api.model": {"lmms": Lmms},
        "lmms_eval.models": {},
        "lmms_eval.models.registry_v2": {"ModelManifest": ModelManifest},
    }
    for name, values in held.items():
        module = ModuleType(name)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)
    yield importlib.import_module("anymal.client.lmms_eval")
    sys.modules.pop("anymal.client.lmms_eval", None)


class Service:
    """Answers with what it was asked, and grades an answer by its length."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.status = 200

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.status != 200:
            error = {"message": "no such model", "type": "invalid_request_error"}
            return httpx.Response(self.status, json={"error": error})
        body = json.loads(request.content)
        self.bodies.append({"path": request.url.path, **body})
        usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
        if request.url.path == "/v1/likelihood":
            rows = [
                {
                    "sum": -float(len(each)),
                    "per_token": -1.5,
                    "tokens": 2,
                    "is_greedy": each.endswith("x"),
                    "probability": 0.5,
                    "probability_per_token": 0.5,
                }
                for each in body["answers"]
            ]
            return httpx.Response(200, json={"model": "m", "answers": rows, "usage": usage})
        text = body["messages"][0]["content"][-1]["text"]
        choice = {"message": {"content": f"said {text}"}, "finish_reason": "stop"}
        whole = {"id": "1", "created": 1, "model": "m", "choices": [choice], "usage": usage}
        return httpx.Response(200, json=whole)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def make(plugin: Any, service: Service) -> Callable[..., Any]:
    def make(**options: Any) -> Any:
        transport = httpx.MockTransport(service)
        # As lmms-eval calls it: its own arguments beside those of --model_args.
        model = plugin.AnyMAL(transport=transport, batch_size=1, device="cuda:0", **options)
        model.task_dict = {"words": {"test": DOCUMENTS}}
        return model

    return make


def request(*args: Any) -> SimpleNamespace:
    return SimpleNamespace(args=args)


def asked(text: str, document: int, medium: Any = None, **settings: Any) -> SimpleNamespace:
    return request(text, settings, lambda doc: [medium] if medium else None, document, *WHERE)


def test_the_entry_point_names_the_class(plugin: Any) -> None:
    assert plugin.manifest() == ModelManifest(
        model_id="anymal", simple_class_path="anymal.client.lmms_eval.AnyMAL"
    )
    assert issubclass(plugin.AnyMAL, Lmms)
    assert plugin.AnyMAL.is_simple
    project = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    _, _, group = project.partition('[project.entry-points."lmms_eval.models"]\n')
    assert group.startswith('anymal = "anymal.client.lmms_eval:manifest"\n')


def test_answers_come_in_order_with_their_tokens(make: Callable[..., Any]) -> None:
    found = make(num_concurrent=3).generate_until([asked(f"q{n}", n % 3) for n in range(20)])
    assert [each.text for each in found] == [f"said q{n}" for n in range(20)]
    assert found[0].token_counts == TokenCounts(input_tokens=5, output_tokens=2)


def test_settings_are_those_of_the_service(
    make: Callable[..., Any], service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    model = make(model="walks")
    model.generate_until([asked("q", 0, max_new_tokens=9, until=["\n\n"], num_beams=1)])
    model.generate_until([asked("q", 0, temperature=0.5, top_p=0.9, num_beams=1)])
    model.generate_until([asked("q", 0, temperature=0.5, do_sample=False)])
    keys = ("model", "max_tokens", "stop", "temperature", "top_p")
    assert [{key: body[key] for key in keys if key in body} for body in service.bodies] == [
        {"model": "walks", "max_tokens": 9, "stop": ["\n\n"], "temperature": 0.0},
        {"model": "walks", "temperature": 0.5, "top_p": 0.9},
        {"model": "walks", "temperature": 0.0},
    ]
    assert [each.message for each in caplog.records] == ["settings without effect: num_beams"]


def test_choices_of_a_document_are_one_request(make: Callable[..., Any], service: Service) -> None:
    def media(doc: str) -> None:
        return None

    requests = [
        request(f"q{doc}", answer, media, doc, *WHERE)
        for doc in (0, 1)
        for answer in ("a", "bcx", "de")
    ]
    found = make().loglikelihood(requests)
    # lmms-eval takes the choice with the least number.
    # It makes strings of pairs that are not wrapped.
    assert [each.text for each in found] == [(1, False), (3, True), (2, False)] * 2
    assert sorted(tuple(body["answers"]) for body in service.bodies) == [("a", "bcx", "de")] * 2
    (mean,) = make(per_token=True).loglikelihood(requests[:1])
    assert mean.text == (1.5, False)


def test_more_choices_than_a_request_takes_are_several(
    make: Callable[..., Any], service: Service
) -> None:
    choices = ["c" * (n + 1) for n in range(MAX_ANSWERS + 3)]
    found = make().loglikelihood(
        [request("q", each, lambda doc: None, 0, *WHERE) for each in choices]
    )
    assert [each.text for each in found] == [(n + 1, False) for n in range(MAX_ANSWERS + 3)]
    assert [len(body["answers"]) for body in service.bodies] == [MAX_ANSWERS, 3]


def test_a_documents_own_answer_has_its_likelihood(make: Callable[..., Any]) -> None:
    own = request("q", lambda doc: doc, lambda doc: None, 1, *WHERE)
    assert [each.text for each in make().loglikelihood([own])] == [(-6, False)]


@pytest.mark.parametrize("status", [400, 404])
def test_a_failed_request_ends_the_run(
    make: Callable[..., Any], plugin: Any, service: Service, status: int
) -> None:
    service.status = status
    for failed in (
        lambda: make().generate_until([asked("q", n % 3) for n in range(50)]),
        lambda: make().loglikelihood([request("q", "a", lambda doc: None, 0, *WHERE)]),
    ):
        with pytest.raises(plugin.RequestFailed, match="--model anymal: no such model") as caught:
            failed()
        # lmms-eval catches every Exception, prints it, and ends with exit code 0.
        assert not isinstance(caught.value, Exception)
        assert caught.value.code not in (None, 0)


def test_what_is_not_supported_ends_the_run_too(make: Callable[..., Any], plugin: Any) -> None:
    with pytest.raises(plugin.RequestFailed, match="several rounds"):
        make().generate_until_multi_round([])
    with pytest.raises(plugin.RequestFailed, match="acc_mutual_info"):
        make().loglikelihood([request("", "a")])


def test_media_are_sent_whole(make: Callable[..., Any], service: Service, tmp_path: Path) -> None:
    files = {}
    for name in ("a.png", "a.wav", "a.MP4", "a.csv"):
        files[name] = tmp_path / name
        files[name].write_bytes(f"bytes of {name}".encode())
    motion = {"type": "imu", "path": str(files["a.csv"]), "imu_rate_hz": 50}
    stretch = {"type": "video", "url": str(files["a.MP4"]), "video_start": 1, "video_end": 2.5}
    held = {"type": "imu", "path": "a.csv", "bytes": files["a.csv"].read_bytes(), "rate_hz": 25}
    media = [
        Image.new("RGB", (2, 2)),
        *(str(files[name]) for name in ("a.png", "a.wav", "a.MP4", "a.csv")),
        {"array": np.zeros(8, np.float32), "sampling_rate": 8000},
        motion,
        stretch,
        held,
    ]
    make().generate_until([request("q", {}, lambda doc: media, 0, *WHERE)])
    *parts, words = service.bodies[0]["messages"][0]["content"]
    assert words == {"type": "text", "text": "q"}
    kinds = [part["type"] for part in parts]
    assert kinds == [
        *("image_url", "image_url", "audio_url", "video_url", "input_imu"),
        *("audio_url", "input_imu", "video_url", "input_imu"),
    ]
    urls = [part[part["type"]]["url"] for part in parts]
    assert all(url.startswith("data:") for url in urls)
    assert urls[4] == urls[6], "a path alone, or described"
    encoded = [url.partition(",")[2] for url in urls]
    assert encoded[4] == encoded[8], "or as a data set holds it, with its bytes"
    assert [parts[place]["input_imu"]["rate_hz"] for place in (6, 8)] == [50, 25]
    assert (parts[7]["video_url"]["start_s"], parts[7]["video_url"]["end_s"]) == (1, 2.5)
    assert urls[3] == urls[7]


@pytest.mark.parametrize(
    ("medium", "error"),
    [
        (object(), MediaUnsupported),
        ("a.xyz", MediaUnsupported),
        ({"type": "smell", "path": "a.png"}, MediaUnsupported),
        ({"type": "image"}, MediaUnsupported),
        ("/nowhere/a.png", MediaNotFound),
    ],
)
def test_other_media_are_refused(medium: Any, error: type[Exception]) -> None:
    from anymal.client.lmms_media import parts_of

    with pytest.raises(error):
        parts_of(medium)
