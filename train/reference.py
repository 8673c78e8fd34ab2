"""What a model was when a stage began, which a preference loss compares with.

Its scores are computed before the first step where they can be (`train.reference_scores`), else
with the weights of then (`train.start_weights`). Does not compute a loss (see
`anymal.objectives.preference`).
"""

import hashlib
from dataclasses import replace

import torch
from torch import Tensor

from anymal.collate import Batch
from anymal.errors import RecipeError
from anymal.llm.digests import bytes_of
from anymal.model import AnyMAL
from anymal.objectives.preference import Reference, scores
from anymal.recipe.objective import PreferenceRecipe
from train.passes import Passes, preference_of
from train.reference_scores import StoredScores, stored_scores
from train.stage_run import StageRun
from train.start_weights import AtStart, read_start, start_weights, write_start


class LiveScores:
    """Scores by the weights of the start, computed when they are asked for.

    Args:
        at_start: Gives a model those weights.
    """

    def __init__(self, at_start: AtStart) -> None:
        self._at_start = at_start

    @torch.no_grad()
    def __call__(self, model: AnyMAL, batch: Batch) -> Tensor:
        """The scores of a batch of pairs, `[B]` float32."""
        with self._at_start(model):
            return scores(model, batch)


def with_reference(
    run: StageRun, number: int, passes: Passes, *, began_with: str | None
) -> tuple[Passes, str | None]:
    """Give the objective of a stage its reference, where it needs one.

    Args:
        run: The run; unless it is resumed, the model has the weights of the stage's start.
        number: Index of the stage.
        passes: How its samples go through the model.
        began_with: Of a stage that is resumed after its start, the digest of the weights that it
            began with.

    Returns:
        The passes, and the digest of the weights that the stage began with; None where there is no
        reference.

    Raises:
        RecipeError: The reference leaves LoRA out, which does not train.
        TrainingError: What was stored is of another model, or is gone.
        Interrupted: Ctrl-C or SIGTERM; the scores so far were saved.
    """
    stage, model = run.recipe.stages[number], run.assembled.model
    own = stage.objective
    if not isinstance(own, PreferenceRecipe):
        return passes, None
    is_lazy = any(branch.is_lazy for branch in own.branches)
    is_scored = own.reference != "none" and not is_lazy
    is_held = own.kl is not None or (own.reference != "none" and is_lazy)
    if not is_scored and not is_held:
        return passes, None
    with_lora = own.reference != "base"
    if not with_lora:
        _check_lora(model, stage.name)
    digest = began_with or digest_of(model, with_lora=with_lora)
    reference: Reference | None = None
    at_start: AtStart | None = None
    if is_held:
        path = run.folder.start(stage.name)
        if began_with is None:
            write_start(path, start_weights(model), digest=digest)
        at_start = AtStart(read_start(path, model, digest=digest), with_lora=with_lora)
    if is_scored:
        known = stored_scores(run, number, passes, began_with=began_with, digest=digest)
        reference = StoredScores(known)
    elif own.reference != "none":
        assert at_start is not None, "held where it is lazy"
        reference = LiveScores(at_start)
    objective = preference_of(own, reference=reference, at_start=at_start)
    return replace(passes, objective=objective), digest


def _check_lora(model: AnyMAL, stage: str) -> None:
    """Refuse a reference without LoRA where LoRA does not train.

    Raises:
        RecipeError: Names the key to change.
    """
    if not any(p.requires_grad for p in model.llm.lora_parameters().values()):
        raise RecipeError(
            f"stages.{stage}.objective.reference: base leaves LoRA out, which does not train in "
            "this stage; set reference: start"
        )


def digest_of(model: AnyMAL, *, with_lora: bool = True) -> str:
    """SHA-256 of the weights that scores depend on, with or without those of LoRA.

    Of what trains or has trained, every value; of encoders that never trained, their fingerprints;
    of the language model, its table of words and its precision.
    """
    state = model.trainable_state()
    digest = hashlib.sha256(f"{model.llm.precision}".encode())
    for name, tensor in sorted(state.items()):
        if ".lora_" in name and not with_lora:
            continue
        digest.update(f"{name} {tuple(tensor.shape)} ".encode() + bytes_of(tensor))
    tuned = {".".join(name.split(".")[:2]) for name in model.tuned_state()}
    for name, encoder in model.encoders.items():
        if f"encoders.{name}" not in tuned:
            digest.update(f"{name} {encoder.fingerprint}".encode())
    if not any(name.startswith("llm.") for name in tuned):
        digest.update(model.llm.embeddings_digest.encode())
    return digest.hexdigest()
