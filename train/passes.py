"""How samples go through the model in one stage, and in which order they come.

Does not compute a step (see `train.loop`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from anymal.errors import RecipeError
from anymal.llm.packable import Unpackable
from anymal.llm.packing import allow_packing
from anymal.model import AnyMAL
from anymal.objectives.kept import AtStart, Kept
from anymal.objectives.preference import Preference, Reference
from anymal.objectives.reinforce import Reinforce, Values
from anymal.objectives.reward import Reward
from anymal.recipe.objective import Objective as RecipeObjective
from anymal.recipe.objective import PreferenceRecipe, samples_of_a_record
from anymal.recipe.reinforce import ReinforceRecipe
from anymal.recipe.reward import RewardRecipe
from anymal.recipe.schema import StageRecipe
from train.data.dropout import Dropout, check_dropout
from train.data.feed import Beside, slot_lengths, training_micro_batches
from train.data.layout import Layout, MicroBatch
from train.data.prefetch import Prefetch
from train.data.sampler import Sampler
from train.data.sources import Source
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
        size: Most records of one micro-batch.
        halving: Runs micro-batches, with fewer records where memory runs out.
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
    # Objective `words` does not run the layers, so there no prefix can be computed once; nor beside
    # what changes every position.
    splits_prefix = not model.words_train and model.side is None
    is_packable = stage.objective != "words" and (stage.packing or splits_prefix)
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
        of_a_record=samples_of_a_record(stage.objective),
    )
    most = len(run.ranks.own(range(stage.batch_size)))
    size = min(micro_batch_size(run.recipe, stage), most)
    key = f"stages.{stage.name}.micro_batch"
    if stage.micro_batch == "auto":
        run.progress.say(f"{key}: {size} of {most} samples in one pass")
    return Passes(
        layout=layout,
        size=size,
        halving=Halving(size, key=key, say=run.progress.say, can_halve=not run.ranks.is_sharded),
        objective=_objective(stage.objective, model),
    )


def _objective(objective: RecipeObjective, model: AnyMAL) -> Objective:
    """What a stage minimises; preference without its reference."""
    if isinstance(objective, PreferenceRecipe):
        return preference_of(objective, reference=None)
    if isinstance(objective, RewardRecipe):
        return Reward(centre=objective.centre)
    if isinstance(objective, ReinforceRecipe):
        value = objective.value
        values = None if value is None else Values(clip=value.clip, weight=value.weight)
        return Reinforce(clip=objective.clip, values=values)
    return answer_loss if objective == "answer" else WordLoss(model)


def preference_of(
    recipe: PreferenceRecipe, *, reference: Reference | None, at_start: AtStart | None = None
) -> Preference:
    """The objective `preference` as a recipe writes it.

    Args:
        recipe: Of a stage.
        reference: Scores of a batch to compare with; None compares scores by themselves.
        at_start: Gives the model the weights of the start, which `kl` needs; None leaves it out.
    """
    kept = None
    if recipe.kl is not None and at_start is not None:
        kept = Kept(recipe.kl.weight, at_start=at_start)
    return Preference(
        recipe.branches,
        recipe.parsed,
        beta=recipe.beta,
        sft=recipe.sft,
        by_phrase=recipe.unit == "phrase",
        reference=reference,
        kept=kept,
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
    micro_batches = training_micro_batches(
        stage,
        sources,
        sampler_of(run, number),
        run.assembled.processor,
        slot_lengths(run.assembled.processor),
        passes.layout,
        size=passes.size,
        start=start * stage.accumulate,
        threads=run.recipe.decode_workers,
        dropout=dropout,
        ranks=run.ranks,
        beside=beside_of(run, number),
    )
    return Prefetch(micro_batches, ahead=MICRO_BATCHES_AHEAD)


def beside_of(run: StageRun, number: int) -> Beside | None:
    """The records of a stage on which the model is to stay as it was; None without `kl`."""
    sources = run.data[number].kept
    return Beside(sources=sources, sampler=_sampler(run, number, sources)) if sources else None


def sampler_of(run: StageRun, number: int) -> Sampler:
    """What decides which record of a stage's `data` comes when."""
    return _sampler(run, number, run.data[number].training)


def _sampler(run: StageRun, number: int, sources: Sequence[Source]) -> Sampler:
    return Sampler(
        seed=run.recipe.seed,
        stage=number,
        sizes=[len(source.records) for source in sources],
        weights=[source.weight for source in sources],
    )
