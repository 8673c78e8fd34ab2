"""What every test runs under: offline, seeded, one thread, no settings of this machine.

Holds the fixtures that several packages share, the marker `whole`, and the order of test files.
"""

import os
import random
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from tests import tiny
from tests.processor_time import MOST_S, ProcessorTime

if TYPE_CHECKING:
    from anymal.assemble import Assembled
    from anymal.recipe.schema import ModelRecipe

# Before any test imports torch, transformers or matplotlib: they read these once.
_SCRATCH = tempfile.TemporaryDirectory(prefix="anymal-tests-")
os.environ |= {
    "HF_HOME": _SCRATCH.name,
    "HF_HUB_OFFLINE": "1",
    "MPLBACKEND": "Agg",
    "MPLCONFIGDIR": _SCRATCH.name,
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "XDG_CACHE_HOME": _SCRATCH.name,
}

# What trains, serves a port, starts processes, measures shipped recipes or loads the built-in
# model. These run first and longest first where there are several workers, so that the workers end
# together.
WHOLE = (
    "server/page",
    "train/test_run.py",
    "train/test_preference.py",
    "train/test_reference.py",
    "train/dry_run/test_run.py",
    "train/test_train_from_features.py",
    "test_recipes.py",
    "anymal/engine/test_schedules.py",
    "anymal/plan/test_actual.py",
    "server/faults",
    "anymal/test_tiny.py",
    "anymal/decoding",
    "train/test_swap_llm.py",
    "train/test_decode_workers.py",
    "train/encode/test_run.py",
    "train/pretrain",
    "benchmarks/test_gpu_70b.py",
    "benchmarks/training",
    "server/real_model",
    "server/test_schema.py",
    "systems",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--processor-time",
        action="store_true",
        help="show the five files with most processor seconds; a file that is not marked whole "
        f"and takes more than {MOST_S:.0f} s fails the run",
    )
    parser.addoption(
        "--fuzz-cases",
        type=int,
        default=10_000,
        help="how many damaged files of each modality the slow tests decode; of damaged requests, "
        "they send a fifth as many",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("processor_time"):
        config.pluginmanager.register(ProcessorTime())


@pytest.hookimpl(tryfirst=True)  # before `-m` looks for the marker
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if rank(item) < len(WHOLE):
            item.add_marker(pytest.mark.whole)
    if hasattr(config, "workerinput"):
        items.sort(key=rank)


def rank(item: pytest.Item) -> int:
    """The place of a test's file or folder in `WHOLE`, or one behind the last."""
    path = item.path.relative_to(Path(__file__).parent)
    places = (place for place, name in enumerate(WHOLE) if path.is_relative_to(name))
    return next(places, len(WHOLE))


@pytest.fixture(autouse=True)
def _seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    # Light tests do not pay for torch; a module that uses it has imported it by now.
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ANYMAL_")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _loopback_only(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("network") is None:
        connect = socket.socket.connect

        def guarded(self: socket.socket, address: Any) -> None:
            is_local = self.family == socket.AF_UNIX or address[0] in ("127.0.0.1", "::1")
            assert is_local, f"a test not marked 'network' reached for {address}"
            connect(self, address)

        monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Folders `llm`, `vision`, `audio` and `imu` of tiny random checkpoints."""
    return tiny.save_checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="session")
def model_recipe(checkpoints: SimpleNamespace) -> "Callable[..., ModelRecipe]":
    """Makes the recipe of a model of images and motion; keywords are those of `model_section`."""
    from anymal.recipe.schema import ModelRecipe

    return lambda *modalities, **changes: ModelRecipe.model_validate(
        tiny.model_section(checkpoints, modalities or ("image", "imu"), **changes)
    )


@pytest.fixture(scope="session")
def assembled(model_recipe: "Callable[..., ModelRecipe]") -> "Assembled":
    """A float32 model of images and motion, shared: do not train it."""
    import torch

    from anymal.assemble import build

    torch.manual_seed(0)
    return build(model_recipe())


@pytest.fixture(scope="session")
def talk() -> Callable[..., dict[str, Any]]:
    """Makes a record: `talk("What is it?", "Red.", images=[(255, 0, 0)], motions=1)`."""
    return tiny.talk


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the layout of the recordings, with noise where people would be."""
    root = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    (root / "fsdd" / "recordings").mkdir(parents=True)
    for digit in range(10):
        for speaker, take in (("ann", 5), ("ann", 46), ("theo", 47)):
            name = root / "fsdd" / "recordings" / f"{digit}_{speaker}_{take}.wav"
            soundfile.write(name, rng.uniform(-0.5, 0.5, 2000), 8000)
        photos = root / "sign_digits" / str(digit)
        photos.mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 256, (100, 100, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(photos / f"IMG_{1000 + number}.JPG", "JPEG")
    (root / "fashion").mkdir()
    np.savez(
        root / "fashion" / "fashion.npz",
        images=rng.integers(0, 256, (80, 28, 28), dtype=np.uint8),
        labels=np.repeat(np.arange(10, dtype=np.uint8), 8),
    )
    (root / "hapt").mkdir()
    arrays, rows = {}, []
    for experiment, person in ((1, 1), (2, 28)):
        samples = rng.integers(-700, 700, (12 * 300, 6), dtype=np.int16)
        arrays[f"exp{experiment:02d}_user{person:02d}"] = samples
        for activity in range(1, 13):
            length = 290 if activity <= 6 else 90
            start = (activity - 1) * 300 + 1
            rows.append(f"{experiment} {person} {activity} {start} {start + length - 1}")
    np.savez(root / "hapt" / "recordings.npz", **arrays)
    (root / "hapt" / "labels.txt").write_text("\n".join(rows) + "\n")
    return root
