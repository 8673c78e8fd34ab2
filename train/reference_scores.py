"""The scores of the reference of all samples that a stage will compare.

Computed once, without gradients or dropout, and kept in the run's folder, where a resumed run finds
them.

    run_dir/STAGE/reference.safetensors
        keys        [R, 32] uint8    SHA-256 of what each score depends on beside the weights
        scores      [R] float32      log-probability of the sample's targets, in nats
        metadata    weights: SHA-256 of the weights that gave the scores

Does not say which model is the reference (see `train.reference`).
"""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from anymal.collate import Batch
from anymal.durable import write_file
from anymal.model import AnyMAL
from anymal.objectives.kept import KEPT
from anymal.objectives.preference import scores
from anymal.recipe.objective import PreferenceRecipe
from train.data.feed import heldout_draws, micro_batches_of
from train.data.layout import MicroBatch
from train.data.prefetch import Prefetch
from train.data.sampler import BUCKET_BATCHES, Draw
from train.errors import TrainingError
from train.interrupt import Interrupted
from train.loop import precision_of
from train.passes import MICRO_BATCHES_AHEAD, Passes, sampler_of
from train.random_state import random_state, set_random_state
from train.stage_run import StageRun
from train.start_weights import without_lora

SAVE_EVERY = 5000  # scores; a run that is killed while it scores loses no more


class StoredScores:
    """Stored scores, which a batch finds by the keys of its samples.

    Args:
        known: Scores by key.
    """

    def __init__(self, known: Mapping[str, float]) -> None:
        self._known = known

    def __call__(self, model: AnyMAL, batch: Batch) -> Tensor:
        """The scores of a batch of pairs, `[B]` float32 on its device; 0 of kept samples.

        Raises:
            TrainingError: A record or one of its media changed since the stage began.
        """
        for name, part in zip(batch.names, batch.parts, strict=True):
            if part.key not in self._known and part.branch != KEPT:
                raise TrainingError(
                    f"{name}: the reference has no score of {part.branch}; the record or one of "
                    "its media changed since the stage began. Put it back, or start a new run"
                )
        # No term compares a kept sample.
        found = [0.0 if p.branch == KEPT else self._known[p.key] for p in batch.parts]
        return torch.tensor(found, dtype=torch.float32, device=batch.ids.device)


def stored_scores(
    run: StageRun, number: int, passes: Passes, *, began_with: str | None, digest: str
) -> dict[str, float]:
    """All scores that a stage will need, by key: read, or computed where the stage begins.

    Args:
        run: The run; unless the stage is resumed, the model has the weights of its start.
        number: Index of the stage.
        passes: How its samples go through the model.
        began_with: Of a stage that is resumed after its start, the digest of those weights.
        digest: Of those weights.

    Raises:
        TrainingError: The stored scores are those of another model, or are gone.
        Interrupted: Ctrl-C or SIGTERM; the scores so far were saved.
    """
    stage = run.recipe.stages[number]
    path = run.folder.reference(stage.name)
    known = read_scores(path, digest=digest)
    if began_with is None:
        return _score_all(run, number, passes, path, known, digest)
    if not known:
        raise TrainingError(
            f"stage {stage.name} is resumed and {str(path)!r} is gone, which only the model at its "
            "start could write again; put it back, or start a new run"
        )
    return known


def read_scores(path: Path, *, digest: str) -> dict[str, float]:
    """Read stored scores by key; none where there is no file yet.

    Raises:
        TrainingError: The file is damaged, or its scores are those of other weights.
    """
    if not path.is_file():
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            weights = (file.metadata() or {}).get("weights")
            keys, values = file.get_tensor("keys"), file.get_tensor("scores")
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"{str(path)!r} cannot be read ({error}); put a copy of it back, or start a new run"
        ) from error
    if weights != digest:
        raise TrainingError(
            f"{str(path)!r} holds the scores of another model (weights {str(weights)[:12]}, here "
            f"{digest[:12]}); remove it, or resume the run that it belongs to"
        )
    names = (bytes(key).hex() for key in keys.tolist())
    return dict(zip(names, values.tolist(), strict=True))


def _write_scores(path: Path, known: Mapping[str, float], *, digest: str) -> int:
    """Replace the file of stored scores; returns how many there are."""
    keys = [list(bytes.fromhex(key)) for key in known]
    tensors = {
        "keys": torch.tensor(keys, dtype=torch.uint8).view(-1, 32),
        "scores": torch.tensor(list(known.values()), dtype=torch.float32),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_file(path) as file:
        file.write(save(tensors, metadata={"weights": digest}))
    return len(known)


def _score_all(
    run: StageRun,
    number: int,
    passes: Passes,
    path: Path,
    known: Mapping[str, float],
    digest: str,
) -> dict[str, float]:
    """Score what is not known yet of all records that the stage will see, and save the scores."""
    stage, data = run.recipe.stages[number], run.data[number]
    draws = _draws(run, number)
    assert isinstance(stage.objective, PreferenceRecipe), stage.objective
    # Without what is kept: no score is asked of it.
    layout = replace(passes.layout, of_a_record=len(stage.objective.branches))
    micro_batches = micro_batches_of(
        draws,
        [*data.training, *data.heldout],
        run.assembled.processor,
        layout,
        size=passes.size,
        threads=run.recipe.decode_workers,
    )
    found, num_done, num_saved = dict(known), 0, len(known)
    model, random = run.assembled.model, random_state()
    was_training = model.training
    model.eval()
    with (
        without_lora(model) if stage.objective.reference == "base" else nullcontext(),
        Prefetch(micro_batches, ahead=MICRO_BATCHES_AHEAD) as feed,
        run.progress.part(f"reference of {stage.name}", total=len(draws)) as show,
    ):
        for micro_batch in feed:
            if any(part.key not in found for part in micro_batch.batch.parts):
                found |= _scored(model, passes, micro_batch)
            num_done += micro_batch.num_records
            if len(found) >= num_saved + SAVE_EVERY:
                num_saved = _write_scores(path, found, digest=digest)
            show(num_done)
            if run.stop.requested is not None:
                break
    model.train(was_training)
    set_random_state(random)
    if len(found) > num_saved:
        _write_scores(path, found, digest=digest)
    if run.stop.requested is not None and num_done < len(draws):
        raise Interrupted(
            f"Stopped before the first step of stage {stage.name}; {num_done} of {len(draws)} "
            f"records are scored in {path}.",
            exit_code=128 + run.stop.requested,
        )
    return found


def _scored(model: AnyMAL, passes: Passes, micro_batch: MicroBatch) -> dict[str, float]:
    """Scores of a micro-batch by key."""

    @torch.no_grad()
    def score(batch: Batch) -> dict[str, float]:
        with precision_of(model):
            values = scores(model, batch.to(model.device)).tolist()
        return {part.key: value for part, value in zip(batch.parts, values, strict=True)}

    found: Iterator[dict[str, float]] = passes.halving.map(score, [micro_batch])
    return {key: value for each in found for key, value in each.items()}


def _draws(run: StageRun, number: int) -> list[Draw]:
    """The records that a stage draws or measures, each once; held-out sources come last."""
    stage, data = run.recipe.stages[number], run.data[number]
    sampler = sampler_of(run, number)
    num_batches = stage.num_steps * stage.accumulate
    if stage.bucket:  # whole windows are sorted, so that any record of the last one may come
        num_batches = -(-num_batches // BUCKET_BATCHES) * BUCKET_BATCHES
    drawn = {sampler.draw(place) for place in range(num_batches * stage.batch_size)}
    sizes = [len(source.records) for source in data.heldout]
    measured = [
        Draw(source=len(data.training) + draw.source, record=draw.record)
        for draw in heldout_draws(sizes, stage.eval_samples)
    ]
    return [*sorted(drawn, key=lambda draw: (draw.source, draw.record)), *measured]
