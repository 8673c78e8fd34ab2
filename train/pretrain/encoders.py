"""Train one small encoder from nothing, under supervision, and save it frozen.

    python -m train.pretrain.encoders image --data DIR --out runs/tiny/encoders/vision

The preprocessing and the reading of features are those of `encoders`, so that what is trained is
what will be served.
"""

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.progress import track
from torch import Tensor, nn

from encoders.base import stack_inputs
from encoders.frozen import FrozenEncoder, WindowStates
from encoders.registry import build_encoder
from train.pretrain.designs import KINDS, write_design
from train.pretrain.examples import Example, Subject, subject
from train.pretrain.slots import SlotHeads, slot_hits, slot_loss

_LR = {"image": 2e-3, "audio": 2e-3, "imu": 1e-3}
_STEPS = {"image": 1000, "audio": 850, "imu": 2000}
_WARMUP_STEPS = 100
_BATCH_SIZE = 64
_HELD_OUT_EXAMPLES = 1024


def main(
    modality: Annotated[str, typer.Argument(help="image, audio or imu")],
    data: Annotated[Path, typer.Option(envvar="ANYMAL_DATA", help="folder of recordings")],
    out: Annotated[Path, typer.Option(help="folder to write the encoder to")],
    steps: Annotated[int | None, typer.Option(help="optimiser steps")] = None,
    seed: Annotated[int, typer.Option(help="of weights and examples")] = 0,
    layer: Annotated[int | None, typer.Option(help="hidden state to read; default: last")] = None,
    start: Annotated[Path | None, typer.Option(help="an encoder to train further")] = None,
) -> None:
    """Train one encoder and save it in half precision."""
    if modality not in KINDS:
        raise typer.BadParameter(f"unknown modality '{modality}'; known: {', '.join(KINDS)}")
    torch.manual_seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        if start is None:
            write_design(modality, Path(folder))
        encoder: Any = build_encoder(KINDS[modality], str(start or folder), layer=layer)
    training, held_out = subject(modality, data, "train"), subject(modality, data, "heldout")
    student = Student(encoder, training)
    _fit(student, training, modality, steps or _STEPS[modality], seed)
    report = _measure(student, held_out)
    typer.echo(json.dumps(report, indent=2))
    write_design(modality, out)
    encoder.model.half().save_pretrained(out)
    (out / "pretraining.json").write_text(json.dumps(report, indent=2) + "\n")


class Student(nn.Module):
    """An encoder's model, thawed, with heads that predict facts from it."""

    def __init__(self, encoder: FrozenEncoder, lessons: Subject) -> None:
        super().__init__()
        self.preprocess = encoder.preprocessor
        self.read: Callable[[Any, dict[str, Tensor]], WindowStates] = encoder.read
        self.model = encoder.model.requires_grad_(True)
        self.heads = SlotHeads(encoder.width, lessons.num_classes)

    def forward(self, examples: Sequence[Example]) -> list[Tensor]:
        """Logits of each slot."""
        tensors = stack_inputs([self.preprocess(one.signal) for one in examples]).tensors
        if self.training and "input_features" in tensors:
            tensors["input_features"] = hide_bands(tensors["input_features"])
        states = self.read(self.model, tensors)
        logits: list[Tensor] = self.heads(states.values, states.mask)
        return logits


def hide_bands(mel: Tensor) -> Tensor:
    """Hide a random band of frequencies and a moment of each window (SpecAugment).

    Source: Park et al. 2019 (arXiv 1904.08779), section 2, without time warping.
    """
    mel = mel.clone()
    for window in mel:
        for axis, widest in ((0, 12), (1, 10)):
            width = int(torch.randint(widest, ()))
            start = int(torch.randint(window.shape[axis] - width + 1, ()))
            window.narrow(axis, start, width).fill_(float(window.mean()))
    return mel


def _fit(student: Student, lessons: Subject, modality: str, steps: int, seed: int) -> None:
    """AdamW with a warm-up and a cosine decay."""
    rng = np.random.default_rng([seed, *modality.encode()])
    optimiser = torch.optim.AdamW(student.parameters(), lr=_LR[modality], weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, _LR[modality], total_steps=steps, pct_start=min(0.5, _WARMUP_STEPS / steps)
    )
    student.train()
    for _ in track(range(steps), description=f"{modality} encoder"):
        examples = [_draw(lessons, rng) for _ in range(_BATCH_SIZE)]
        targets = student.heads.targets([one.slots for one in examples])
        loss = slot_loss(student(examples), targets)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(student.parameters(), 2.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()


def _draw(lessons: Subject, rng: np.random.Generator) -> Example:
    """One example of a kind drawn by its share."""
    names = list(lessons.makers)
    shares = [share for share, _ in lessons.makers.values()]
    return lessons.makers[names[int(rng.choice(len(names), p=shares))]][1](rng)


@torch.no_grad()
def _measure(student: Student, lessons: Subject) -> dict[str, float]:
    """Held-out accuracy of each slot."""
    student.eval()
    rng = np.random.default_rng(1)
    hits = torch.zeros(len(student.heads.names), dtype=torch.long)
    known = hits.clone()
    for _ in range(_HELD_OUT_EXAMPLES // _BATCH_SIZE):
        examples = [_draw(lessons, rng) for _ in range(_BATCH_SIZE)]
        targets = student.heads.targets([one.slots for one in examples])
        right, asked = slot_hits(student(examples), targets)
        hits, known = hits + right, known + asked
    share = (hits / known.clamp(min=1)).tolist()
    return {name: round(value, 4) for name, value in zip(student.heads.names, share, strict=True)}


if __name__ == "__main__":
    typer.run(main)
