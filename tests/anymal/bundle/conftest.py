"""A whole bundle to damage, and no network to load it from."""

import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from anymal.assemble import build
from anymal.bundle import kept_weights
from anymal.bundle.save import save_bundle

if TYPE_CHECKING:
    from anymal.recipe.schema import ModelRecipe

MakeRecipe = Callable[..., "ModelRecipe"]


@pytest.fixture(scope="module", name="whole")
def _whole(model_recipe: MakeRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with everything inside."""
    torch.manual_seed(3)
    assembled = build(model_recipe(lora={"r": 2}, embed=True, precision="fp32"))
    return save_bundle(assembled, tmp_path_factory.mktemp("bundles") / "whole")


@pytest.fixture(name="bundle")
def _bundle(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, beside a language model that is not its own."""
    shutil.copytree(whole / "llm", tmp_path / "outside")
    return shutil.copytree(whole, tmp_path / "house" / "bundle")


@pytest.fixture(scope="module", name="nf4_saved")
def _nf4_saved(model_recipe: MakeRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle in NF4 with LoRA that does something."""
    torch.manual_seed(3)
    assembled = build(model_recipe("imu", lora={"r": 2}, embed=True, precision="nf4"))
    for parameter in assembled.model.llm.lora_parameters().values():
        torch.nn.init.normal_(parameter, std=0.1)
    return save_bundle(assembled, tmp_path_factory.mktemp("bundles") / "one")


@pytest.fixture(name="nf4_bundle")
def _nf4_bundle(nf4_saved: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(nf4_saved, tmp_path / "bundle")


@pytest.fixture(name="own_cache")
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are kept in a folder of this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(name="no_checkpoint")
def _no_checkpoint(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, language models cannot be loaded from checkpoints."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the checkpoint was loaded")

    return lambda: monkeypatch.setattr("anymal.assemble.load_llm", refuse)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that is loaded here may ask another machine."""

    def refuse(*arguments: Any, **options: Any) -> Any:
        raise AssertionError(f"the network was asked: {arguments}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(name="large")
def _large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files above 8 KiB are large, and trusted at once."""
    monkeypatch.setattr(kept_weights, "_WHOLE_BYTES", 8192)
    monkeypatch.setattr(kept_weights, "_PIECES", 2)
    monkeypatch.setattr(kept_weights, "_SETTLED_S", -1.0)
