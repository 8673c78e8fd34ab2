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
from PIL import Image

import anymal
from anymal.assemble import build
from anymal.bundle.save import save_bundle
from anymal.modality import MODALITIES
from anymal.recipe.schema import ModelRecipe
from anymal.serving.assistant import Assistant
from server.app import create_app
from server.served.backend import load_backend
from server.settings import Settings


@pytest.fixture(scope="session")
def bundle(
    tmp_path_factory: pytest.TempPathFactory, model_recipe: Callable[..., ModelRecipe]
) -> Path:
    """A bundle of all four modalities, 32 soft tokens each, on its own."""
    torch.manual_seed(0)
    aligner = {"kind": "linear", "num_tokens": 32}
    recipe = model_recipe(*MODALITIES, aligner=aligner, embed=True, max_tokens=200)
    return save_bundle(build(recipe), tmp_path_factory.mktemp("parts") / "tiny-random")


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
    app = create_app(Settings(decode_workers=0), backend)
    with httpx.Client(transport=make_bridge(app), base_url="http://anymal") as http:
        yield lambda content, **more: http.post(
            "/v1/chat/completions",
            json={"messages": [{"role": "user", "content": content}], "max_tokens": 8, **more},
        )
    backend.engine.close()
