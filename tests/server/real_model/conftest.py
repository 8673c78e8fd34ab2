"""A tiny random model of the real classes, as a bundle, and one real file of each modality."""

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
from anymal.bundle.save import save_bundle
from anymal.recipe.schema import ModelRecipe
from anymal.serving.assistant import Assistant
from encoders.imu.transformer import ImuTransformerConfig, ImuTransformerModel
from server.app import create_app
from server.served.backend import load_backend
from server.settings import Settings

BLOCKS = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
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


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("parts")
    save_llm(folder / "llm")
    save_encoders(folder)
    return save_bundle(build(recipe_of(folder)), folder / "tiny-random")


@pytest.fixture(scope="session")
def assistant(bundle: Path) -> Assistant:
    return anymal.load(bundle)


@pytest.fixture(scope="session")
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
