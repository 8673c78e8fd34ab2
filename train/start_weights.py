"""The weights that a stage began with, for a moment in the place of those that it trains.

What is compared only once the model has run cannot be scored before the first step, as
`train.reference` does it. So the weights are held, and kept in the run's folder, where a resumed
run finds them.

    run_dir/STAGE/start.safetensors
        each weight that trains, by name
        metadata    weights: SHA-256 of what scores depend on, see `train.reference.digest_of`

Does not score anything.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from anymal.durable import write_file
from anymal.model import AnyMAL
from train.errors import TrainingError


class AtStart:
    """Gives a model the weights of the start, and its own back.

    Args:
        weights: By name, every weight that trains, on the model's device.
        with_lora: Whether LoRA takes part.
    """

    def __init__(self, weights: Mapping[str, Tensor], *, with_lora: bool = True) -> None:
        self._weights = dict(weights)
        self._with_lora = with_lora

    @contextmanager
    def __call__(self, model: AnyMAL) -> Iterator[None]:
        """Run without dropout, and with the weights of the start.

        A graph that was recorded before may be alive: it finds its weights as they were. Nothing
        that is to be differentiated may be computed meanwhile.
        """
        was_training = model.training
        model.eval()
        self._exchange(model)
        try:
            with nullcontext() if self._with_lora else without_lora(model):
                yield
        finally:
            self._exchange(model)
            model.train(was_training)

    def _exchange(self, model: AnyMAL) -> None:
        """Swap the storages, so that no value is written over that a graph still needs."""
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.data, self._weights[name] = self._weights[name], parameter.data
        # Autocast remembers what it made of a weight, whatever has become of its values.
        torch.clear_autocast_cache()


@contextmanager
def without_lora(model: AnyMAL) -> Iterator[None]:
    """Leave out LoRA, which takes part before and afterwards."""
    model.llm.use_lora(False)
    try:
        yield
    finally:
        model.llm.use_lora(True)


def start_weights(model: AnyMAL) -> dict[str, Tensor]:
    """Copies of the weights that train, by name."""
    return {
        name: parameter.detach().clone()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def write_start(path: Path, weights: Mapping[str, Tensor], *, digest: str) -> None:
    """Keep the weights of a start."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in weights.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_file(path) as file:
        file.write(save(tensors, metadata={"weights": digest}))


def read_start(path: Path, model: AnyMAL, *, digest: str) -> dict[str, Tensor]:
    """Read the weights that a stage began with.

    Raises:
        TrainingError: They are gone, damaged, or those of another start.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            found = (file.metadata() or {}).get("weights")
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"{str(path)!r} cannot be read ({error}); it holds the weights that the stage began "
            "with. Put it back, or start a new run"
        ) from error
    if found != digest:
        raise TrainingError(
            f"{str(path)!r} holds the weights of another start ({str(found)[:12]}, of this run "
            f"{digest[:12]}); put that of this run back, or start a new run"
        )
    return {name: tensor.to(model.device) for name, tensor in weights.items()}
