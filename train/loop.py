"""One optimiser step and one held-out measurement: the GPU side of a stage.

Does not read data, save, or decide when to do what (see `train.stage`).

Shapes: B samples per micro-batch, S fused length.
"""

import math
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from anymal.collate import Batch
from anymal.model import AnyMAL, Loss
from train.errors import TrainingError


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What one optimiser step saw.

    Attributes:
        loss: Mean over the target tokens of all micro-batches, in nats.
        targets: How many target tokens that were.
        tokens: Positions read, padding not counted.
        grad_norm: Norm of the gradient of `loss`, before clipping.
    """

    loss: float
    targets: int
    tokens: int
    grad_norm: float


def optimise(
    model: AnyMAL,
    optimiser: torch.optim.Optimizer,
    batches: Iterable[Batch],
    *,
    clip_norm: float | None,
) -> StepResult:
    """Take one optimiser step over a window of micro-batches.

    Gradients of summed losses are added up and divided once by the window's token count, so how
    the window is cut into micro-batches does not change the step.

    Args:
        model: In training mode.
        optimiser: Over the parameters that train, its learning rate set.
        batches: The window, on any device.
        clip_norm: Largest norm of the gradient; None does not clip.

    Returns:
        What the step saw.

    Raises:
        TrainingError: A loss or the gradient is not finite; nothing was updated.
    """
    optimiser.zero_grad(set_to_none=True)
    device = model.device
    total = torch.zeros((), device=device)
    targets = tokens = 0
    names: list[str] = []
    for batch in batches:
        names.extend(batch.names)
        loss = _loss(model, batch, device)
        if loss.total.requires_grad:  # not so where no trained aligner has media in the batch
            loss.total.backward()  # type: ignore[no-untyped-call]  # torch ships it untyped
        total += loss.total.detach()
        targets += loss.num_tokens
        tokens += int(batch.mask.sum())
    grad_norm = _scale_and_clip(optimiser, targets, clip_norm)
    if not math.isfinite(grad_norm):
        raise TrainingError(
            f"the gradient is not finite (norm {grad_norm}) over the samples {', '.join(names)}; "
            "lower lr, or set clip_norm"
        )
    optimiser.step()
    return StepResult(
        loss=total.item() / targets, targets=targets, tokens=tokens, grad_norm=grad_norm
    )


@torch.no_grad()
def heldout_loss(model: AnyMAL, batches: Iterable[Batch]) -> float:
    """Return the mean loss over the target tokens of all batches; leaves the mode as it was."""
    device = model.device
    was_training = model.training
    model.eval()
    total, targets = 0.0, 0
    for batch in batches:
        loss = _loss(model, batch, device)
        total += loss.total.item()
        targets += loss.num_tokens
    model.train(was_training)
    return total / targets


def _loss(model: AnyMAL, batch: Batch, device: torch.device) -> Loss:
    """Compute the summed loss of one micro-batch, and refuse one that is not finite."""
    with _precision(device):
        loss = model.loss(batch.to(device))
    if not bool(torch.isfinite(loss.total)):
        finite = torch.isfinite(loss.per_sample).tolist()  # [B]
        names = [name for name, is_finite in zip(batch.names, finite, strict=True) if not is_finite]
        raise TrainingError(
            f"the loss of {', '.join(names or batch.names)} is {loss.total.item()}; look at that "
            "sample, or lower lr if it was finite before. The last checkpoint is intact."
        )
    return loss


def _precision(device: torch.device) -> AbstractContextManager[object]:
    """Return bf16 autocast on CUDA; a CPU computes in the precision of the weights."""
    if device.type == "cuda":
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()


def _scale_and_clip(
    optimiser: torch.optim.Optimizer, targets: int, clip_norm: float | None
) -> float:
    """Turn gradients of the sum into gradients of the mean, clip them, return their norm."""
    parameters: list[nn.Parameter] = [
        p for group in optimiser.param_groups for p in group["params"] if p.grad is not None
    ]
    gradients: list[Tensor] = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return 0.0
    torch._foreach_div_(gradients, float(targets))
    largest = math.inf if clip_norm is None else clip_norm
    return float(nn.utils.clip_grad_norm_(parameters, largest))
