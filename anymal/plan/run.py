"""The plan of a recipe: for each stage the largest pass that fits, and whether its own fits.

Does not load anything and does not show anything (see `anymal.plan.picture`).
"""

from dataclasses import dataclass
from math import ceil

from anymal.plan.aligner import measure_aligner
from anymal.plan.device import Device, DeviceType, memory_of, parse_memory
from anymal.plan.encoder import measure_encoder
from anymal.plan.language_model import read_language_model
from anymal.plan.side import measure_side
from anymal.plan.stage import MemoryPass, Parts, StageMemory
from anymal.recipe.objective import samples_of_a_record
from anymal.recipe.schema import ModelRecipe, Recipe, StageRecipe
from anymal.recipe.trains import need_media

# Assumed text of a sample besides its soft tokens: a caption behind a short prompt; a few turns of
# a conversation.
TEXT_TOKENS = {"align": 64, "instruct": 256}


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """The memory of one stage.

    Attributes:
        name: Of the stage.
        soft_tokens: Of a sample, of its longest medium.
        facts_tokens: Of a sample, most of what is measured of its medium.
        varies: Whether media of one modality take different numbers of soft tokens.
        text_tokens: Of a sample, assumed.
        sample_tokens: Positions of a sample.
        most_samples: The largest pass that fits; 0 where not one sample does.
        num_samples: Of the pass that the recipe asks for, or the largest that fits for `auto`;
            at least 1.
        parts: Bytes by name at the peak of that pass.
        fits: Whether that pass fits.
    """

    name: str
    soft_tokens: int
    facts_tokens: int
    varies: bool
    text_tokens: int
    sample_tokens: int
    most_samples: int
    num_samples: int
    parts: dict[str, int]
    fits: bool

    @property
    def total(self) -> int:
        """Bytes at the peak."""
        return sum(self.parts.values())

    @property
    def most_tokens(self) -> int:
        """Positions of the largest pass that fits."""
        return self.most_samples * self.sample_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The memory of a run.

    Attributes:
        device: The device it is planned for.
        stages: In order.
    """

    device: Device
    stages: tuple[StagePlan, ...]

    @property
    def fits(self) -> bool:
        """Whether every stage fits."""
        return all(stage.fits for stage in self.stages)

    @property
    def tightest(self) -> StagePlan:
        """The stage that leaves room for the fewest tokens."""
        return min(self.stages, key=lambda stage: (stage.fits, stage.most_tokens))


def device_for(
    recipe: Recipe, device: DeviceType, memory: str | None = None, *, ranks: int = 1
) -> Device:
    """Find out how much memory a device has.

    Args:
        recipe: Its `memory` is used where none is given.
        device: What to plan for.
        memory: Such as `80GiB`.
        ranks: How many such devices share the run.

    Returns:
        The device, with all of its memory where neither limits it.

    Raises:
        RecipeError: The amount cannot be read, or this machine has no such device.
    """
    stated = memory or recipe.memory
    return Device(
        type=device,
        memory=parse_memory(stated) if stated else memory_of(device),
        ranks=ranks,
        shards=ranks if recipe.shard else 1,
    )


def plan_recipe(
    recipe: Recipe, parts: Parts, device: Device, *, text_tokens: int | None = None
) -> Plan:
    """Plan every stage of a recipe.

    Args:
        recipe: A checked recipe.
        parts: Of its model, from `measure_parts`.
        device: Where it would run.
        text_tokens: Of a sample; None takes `TEXT_TOKENS` of the stage's kind.

    Returns:
        The plan, whether it fits or not.
    """
    stages = [_plan_stage(stage, recipe, parts, device, text_tokens) for stage in recipe.stages]
    return Plan(device=device, stages=tuple(stages))


def measure_parts(model: ModelRecipe) -> Parts:
    """Compute the sizes of a model's parts from their configurations.

    Args:
        model: The model of a recipe.

    Returns:
        The sizes, whatever the precision and LoRA of the recipe.

    Raises:
        RecipeError: The sizes of a part are unknown; the message names its key.
    """
    llm = read_language_model(model.llm.path, model.llm.revision)
    encoders = {
        name: measure_encoder(name, modality.encoder) for name, modality in model.modalities.items()
    }
    aligners = {
        name: measure_aligner(
            name,
            modality.aligner,
            encoder_dim=encoders[name].width,
            layout=encoders[name].layout,
            llm_dim=model.media_width(llm.embedding_dim),
        )
        for name, modality in model.modalities.items()
    }
    side = None
    if model.side is not None:
        longest = max(aligner.num_tokens for aligner in aligners.values())
        side = measure_side(model.side, llm, num_tokens=longest)
    return Parts(llm=llm, encoders=encoders, aligners=aligners, side=side)


def _plan_stage(
    stage: StageRecipe, recipe: Recipe, parts: Parts, device: Device, text_tokens: int | None
) -> StagePlan:
    """Plan one stage."""
    kind = stage.kind or ("align" if need_media(stage.trains or ()) else "instruct")
    text_tokens = TEXT_TOKENS[kind] if text_tokens is None else text_tokens
    max_tokens = recipe.model.llm.max_tokens
    memory = StageMemory(stage, recipe, parts, device)
    each = samples_of_a_record(stage.objective)
    most = memory.most_samples(text_tokens=text_tokens, max_tokens=max_tokens) // each
    wanted = ceil(stage.batch_size / device.ranks)
    if isinstance(stage.micro_batch, int):
        wanted = min(wanted, stage.micro_batch)
    elif stage.micro_batch == "auto":
        wanted = max(1, min(wanted, most))
    samples = MemoryPass(num_samples=wanted * each, text_tokens=text_tokens, max_tokens=max_tokens)
    return StagePlan(
        name=stage.name,
        soft_tokens=memory.soft_tokens,
        facts_tokens=memory.facts_tokens,
        varies=memory.varies,
        text_tokens=text_tokens,
        sample_tokens=memory.tokens(samples),
        most_samples=most,
        num_samples=wanted,
        parts=memory.held() | memory.passing(samples),
        fits=wanted <= most,
    )
