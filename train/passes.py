"""How samples go through the model in one stage, and in which order they come.

Does not compute a step (see `train.loop`).
"""

from dataclasses import dataclass

from anymal.errors import RecipeError
from anymal.llm.packable import Unpackable
from anymal.llm.packing import allow_packing
from anymal.recipe.schema import StageRecipe
from train.data.dropout import Dropout, check_dropout
from train.data.feed import Layout, MicroBatch, slot_lengths, training_micro_batches
from train.data.prefetch import Prefetch
from train.data.sampler import Sampler
from train.loop import Objective, answer_loss
from train.micro_batch import micro_batch_size
from train.out_of_memory import Halving
from train.stage_run import StageRun
from train.word_loss import WordLoss

MICRO_BATCHES_AHEAD = 4  # enough to decode media while a step runs; more only takes memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """How samples go through the model in one stage.

    Attributes:
        layout: How some samples become a batch.
        size: Most samples of one micro-batch.
        halving: Runs micro-batches, with fewer samples where memory runs out.
        objective: The loss to minimise.
    """

    layout: Layout
    size: int
    halving: Halving
    objective: Objective


def passes_of(run: StageRun, stage: StageRecipe) -> Passes:
    """Decide how samples go through the model.

    Raises:
        RecipeError: The language model cannot run as the stage asks.
    """
    model = run.assembled.model
    llm, device = model.llm, model.device
    # Only objective `answer` runs the layers, so only there a prefix can be computed once; not
    # beside what changes every position.
    splits_prefix = not model.words_train and model.side is None
    is_packable = stage.objective == "answer" and (stage.packing or splits_prefix)
    if is_packable:
        try:
            allow_packing(llm)
        except Unpackable as error:
            if stage.packing:
                raise RecipeError(
                    f"stages.{stage.name}.packing: the language model cannot "
                    f"run packed: {error}; set packing: false"
                ) from error
            is_packable = False
            run.progress.say(
                f"stage {stage.name}: the prefix that all samples share is computed for each "
                f"sample, not once: {error}"
            )
    layout = Layout(
        pad_id=run.assembled.processor.pad_id,
        is_packed=stage.packing,
        splits_prefix=is_packable and splits_prefix,
        pins_memory=device.type == "cuda",
    )
    size = micro_batch_size(run.recipe, stage)
    key = f"stages.{stage.name}.micro_batch"
    if stage.micro_batch == "auto":
        run.progress.say(f"{key}: {size} of {stage.batch_size} samples in one pass")
    return Passes(
        layout=layout,
        size=size,
        halving=Halving(size, key=key, say=run.progress.say),
        objective=answer_loss if stage.objective == "answer" else WordLoss(model),
    )


def training_feed(run: StageRun, number: int, passes: Passes, start: int) -> Prefetch[MicroBatch]:
    """Start producing micro-batches, from one optimiser step on.

    Raises:
        RecipeError: Media are to be left out, and no record says which it can do without.
        DataError: A record cannot be used.
    """
    stage, sources = run.recipe.stages[number], run.data[number].training
    check_dropout(stage, sources)
    share = stage.modality_dropout
    dropout = Dropout(share=share, seed=run.recipe.seed, stage=number) if share else None
    sampler = Sampler(
        seed=run.recipe.seed,
        stage=number,
        sizes=[len(source.records) for source in sources],
        weights=[source.weight for source in sources],
    )
    micro_batches = training_micro_batches(
        stage,
        sources,
        sampler,
        run.assembled.processor,
        slot_lengths(run.assembled.processor),
        passes.layout,
        size=passes.size,
        start=start * stage.accumulate,
        threads=run.recipe.decode_workers,
        dropout=dropout,
    )
    return Prefetch(micro_batches, ahead=MICRO_BATCHES_AHEAD)
