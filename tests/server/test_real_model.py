"""From a real file to an answer: a tiny random model, in process and over REST."""

import base64
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import anymal
from anymal.assemble import build
from anymal.assistant import Assistant
from anymal.bundle import save_bundle
from anymal.client import Client
from anymal.client_errors import BadRequestError
from anymal.errors import AnymalError, BundleError, MediaError, TooLong
from anymal.recipe import ModelRecipe
from encoders.imu_transformer import ImuTransformerConfig, ImuTransformerModel
from server.app import create_app
from server.backend import load_backend
from server.settings import Settings

BLOCKS = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
KINDS = ("image", "video", "audio", "imu")
QUESTION = "What is it?"


def save_llm(folder: Path) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        special_tokens=["<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        vocab_size=300,
        show_progress=False,
    )
    tokenizer.train_from_iterator([QUESTION], trainer)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    fast.save_pretrained(folder)
    config = transformers.LlamaConfig(
        **BLOCKS,
        vocab_size=len(fast),
        max_position_embeddings=256,
        initializer_range=0.5,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)


def save_encoders(folder: Path) -> None:
    vision = transformers.CLIPVisionConfig(**BLOCKS, image_size=16, patch_size=8)
    transformers.CLIPVisionModel(vision).save_pretrained(folder / "vision")
    size = {"height": 16, "width": 16}
    transformers.CLIPImageProcessorPil(size=size, crop_size=size).save_pretrained(folder / "vision")
    whisper = transformers.WhisperConfig(
        num_mel_bins=20,
        d_model=16,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=24,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=24,
        vocab_size=50,
        max_source_positions=50,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        begin_suppress_tokens=None,
    )
    transformers.WhisperModel(whisper).save_pretrained(folder / "audio")
    extractor = transformers.WhisperFeatureExtractor(feature_size=20, chunk_length=1)
    extractor.save_pretrained(folder / "audio")
    imu = ImuTransformerConfig(**BLOCKS, window_samples=64)
    ImuTransformerModel(imu).save_pretrained(folder / "imu")


def recipe_of(folder: Path) -> ModelRecipe:
    encoders = {
        "image": {"kind": "vision", "path": folder / "vision"},
        "video": {"kind": "frames", "path": folder / "vision", "num_frames": 2},
        "audio": {"kind": "whisper", "path": folder / "audio"},
        "imu": {"kind": "imu_transformer", "path": folder / "imu"},
    }
    return ModelRecipe.model_validate(
        {
            "llm": {
                "path": str(folder / "llm"),
                "precision": "fp32",
                "template": "llama2",
                "max_tokens": 200,
                "embed": True,
            },
            "modalities": {
                name: {
                    "encoder": {**encoder, "path": str(encoder["path"]), "embed": True},
                    "aligner": {"kind": "linear", "num_tokens": 32},
                }
                for name, encoder in encoders.items()
            },
        }
    )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("parts")
    save_llm(folder / "llm")
    save_encoders(folder)
    return save_bundle(build(recipe_of(folder)), folder / "tiny-random")


@pytest.fixture(scope="module")
def assistant(bundle: Path) -> Assistant:
    return anymal.load(bundle)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One real file of each modality."""
    folder = tmp_path_factory.mktemp("files")
    random = np.random.default_rng(0)
    paths = {
        "image": folder / "noise.png",
        "video": folder / "noise.mp4",
        "audio": folder / "noise.wav",
        "imu": folder / "walk.csv",
    }
    frames = random.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    Image.fromarray(frames[0]).save(paths["image"])
    with av.open(str(paths["video"]), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = 32, 32
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode(None))
    soundfile.write(paths["audio"], random.uniform(-0.5, 0.5, 8000).astype("float32"), 16000)
    columns = ["ax", "ay", "az", "gx", "gy", "gz"]
    table = pd.DataFrame(random.normal(size=(128, 6)), columns=columns)
    table.to_csv(paths["imu"], index=False)
    return paths


@pytest.fixture
def service(
    bundle: Path, make_bridge: Callable[..., Any]
) -> Iterator[Callable[..., httpx.Response]]:
    """Posts messages to the real thing."""
    backend = load_backend(Settings(bundle=str(bundle)))
    app = create_app(Settings(), backend)
    with httpx.Client(transport=make_bridge(app), base_url="http://anymal") as http:
        yield lambda content, **more: http.post(
            "/v1/chat/completions",
            json={"messages": [{"role": "user", "content": content}], "max_tokens": 8, **more},
        )
    backend.engine.close()


def rate_of(kind: str) -> dict[str, Any]:
    return {"imu_rate_hz": 50} if kind == "imu" else {}


@pytest.mark.parametrize("kind", KINDS)
def test_file_to_answer(assistant: Assistant, files: dict[str, Path], kind: str) -> None:
    media: Any = {kind: files[kind], **rate_of(kind)}
    answer = assistant.ask(QUESTION, max_tokens=8, **media)
    details = answer.usage.prompt_tokens_details
    assert details[f"{kind}_tokens"] == 32
    assert answer.usage.prompt_tokens == 32 + details["text_tokens"]
    assert 0 < answer.usage.completion_tokens <= 8
    stream = assistant.ask(QUESTION, max_tokens=8, stream=True, **media)
    assert "".join(stream) == answer.text == stream.answer.text


def test_all_at_once_and_in_memory(assistant: Assistant, files: dict[str, Path]) -> None:
    pixels = np.asarray(Image.open(files["image"]))
    samples, rate_hz = soundfile.read(files["audio"], dtype="float32")
    in_memory = assistant.ask(
        QUESTION, image=pixels, audio=(samples, rate_hz), imu=pd.read_csv(files["imu"]),
        imu_rate_hz=50, max_tokens=8,
    )  # fmt: skip
    from_files = assistant.ask(
        QUESTION, image=files["image"], audio=files["audio"], imu=files["imu"],
        imu_rate_hz=50, max_tokens=8,
    )  # fmt: skip
    assert in_memory == from_files
    assert in_memory.usage.prompt_tokens_details["imu_tokens"] == 32


def test_seed_repeats_a_drawn_answer(assistant: Assistant) -> None:
    drawn = [
        assistant.ask(QUESTION, temperature=2.0, seed=seed, max_tokens=12).text
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("kind", KINDS)
def test_service_answers_as_the_assistant(
    service: Callable[..., httpx.Response],
    assistant: Assistant,
    files: dict[str, Path],
    kind: str,
) -> None:
    media: Any = {kind: files[kind], **rate_of(kind)}
    with Client("http://unused") as client:
        content = client.message(QUESTION, **media).model_dump(mode="json")["content"]
    body = service(content).json()
    expected = assistant.ask(QUESTION, max_tokens=8, **media)
    assert body["choices"][0]["message"]["content"] == expected.text
    assert body["usage"] == expected.usage.model_dump()
    assert body["model"] == "tiny-random"


def test_service_takes_the_other_forms(
    service: Callable[..., httpx.Response], files: dict[str, Path]
) -> None:
    sound = base64.b64encode(files["audio"].read_bytes()).decode()
    motion = base64.b64encode(files["imu"].read_bytes()).decode()
    samples = np.random.default_rng(1).normal(size=(100, 3)).tolist()
    units = {"rate_hz": 50, "acceleration_unit": "g", "rotation_unit": "deg/s"}
    for part in (
        {"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}},
        {"type": "input_imu", "input_imu": {"data": motion, "format": "csv", **units}},
        {"type": "input_imu", "input_imu": {"samples": samples, **units}},
    ):
        response = service([part, {"type": "text", "text": QUESTION}])
        assert response.status_code == 200, response.text


HTML = base64.b64encode(b"<html>not a picture</html>").decode()


@pytest.mark.parametrize(
    ("part", "code", "words"),
    [
        ({"type": "image_url", "image_url": {"url": "/etc/passwd"}}, "media_forbidden", "data URL"),
        ({"type": "image_url", "image_url": {"url": "walk.csv"}}, "media_forbidden", "data URL"),
        ({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}, "media_forbidden", ""),
        ({"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}},
         "media_forbidden", "remote"),
        ({"type": "input_imu", "input_imu": {"url": "http://example.org/a.csv"}},
         "media_forbidden", "remote"),
        ({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{HTML}"}},
         "media_unsupported", "HTML"),
        ({"type": "input_audio", "input_audio": {"data": "%%", "format": "wav"}},
         "media_corrupt", "base64"),
        ({"type": "input_imu", "input_imu": {"samples": [[1, 2]], "rate_hz": 5}}, None, ""),
    ],
)  # fmt: skip
def test_service_refuses_media(
    service: Callable[..., httpx.Response], part: Any, code: str | None, words: str
) -> None:
    response = service([part, {"type": "text", "text": QUESTION}])
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert code is None or error["code"] == code
    assert words in error["message"]


def test_too_long_is_told(assistant: Assistant, service: Callable[..., httpx.Response]) -> None:
    with pytest.raises(TooLong):
        assistant.ask("word " * 300)
    response = service("word " * 300)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"


def test_errors_name_the_file(assistant: Assistant, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    for path in (broken, tmp_path / "gone.png"):
        with pytest.raises(MediaError) as refused:
            assistant.ask(QUESTION, image=path)
        assert str(tmp_path)[:40] in str(refused.value)


def test_client_error_of_the_real_service(bundle: Path, make_bridge: Callable[..., Any]) -> None:
    backend = load_backend(Settings(bundle=str(bundle)))
    app = create_app(Settings(), backend)
    with Client("http://anymal", transport=make_bridge(app)) as client:
        with pytest.raises(BadRequestError) as refused:
            client.ask(QUESTION, image=b"<html>")
        assert refused.value.code == "media_unsupported"
        assert client.models()[0].modalities == list(KINDS)
    backend.engine.close()


def test_missing_bundle_ends_the_command(
    tmp_path: Path,
) -> None:
    from server.cli import serve

    with pytest.raises(BundleError):
        serve(bundle=str(tmp_path / "gone"), port=0)


def test_taken_port_is_told() -> None:
    from server.cli import serve

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AnymalError, match=f"cannot listen on 127.0.0.1 port {port}"):
            serve(port=port)


def test_bundle_is_shown(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from anymal.cli import show_bundle

    show_bundle(str(bundle))
    shown = json.loads(capsys.readouterr().out)
    assert set(shown["modalities"]) == set(KINDS)
