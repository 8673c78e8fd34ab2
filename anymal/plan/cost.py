"""What a run costs besides memory: checkpoints to download, disk for its folder, hours on GPUs.

Measures nothing. Hours come from a training speed that others published, scaled by the number of
weights.
"""

from dataclasses import dataclass, replace

from anymal.plan.disk import bundle_bytes, download_bytes, training_state_bytes
from anymal.plan.run import Plan
from anymal.plan.stage import Parts
from anymal.recipe.schema import Recipe

# `train.checkpoint` keeps two and writes the next before it deletes the older one.
CHECKPOINTS_AT_ONCE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A GPU and how fast it trains.

    Attributes:
        name: Its product name.
        tokens_per_s: Positions a second through `PUBLISHED_WEIGHTS` weights in NF4 with LoRA and
            checkpointing.
    """

    name: str
    tokens_per_s: float


# fsdp_qlora, benchmarks of March 2024: LLaMA-2-70B, context 2048, per GPU (4 H100, 8 A100).
PUBLISHED_WEIGHTS = 68.7e9
GPUS = (Gpu(name="H100", tokens_per_s=786.0), Gpu(name="A100", tokens_per_s=390.0))
# Smaller models keep a GPU waiting, so that the published speed says nothing about theirs.
_LEAST_WEIGHTS = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCost:
    """What passes through the language model in one stage.

    Attributes:
        name: Of the stage.
        samples: Over all its steps; None for a stage of epochs, whose rows nobody has counted.
        sample_tokens: Positions of a sample.
        soft_tokens: Of a sample with one media item, of the modality with the most.
        facts_tokens: Of a sample, most of what is measured of its medium.
        text_tokens: Of a sample, assumed.
        hours: By name of the GPU; empty where the speed of one says nothing about the stage.
    """

    name: str
    samples: int | None
    sample_tokens: int
    soft_tokens: int
    facts_tokens: int
    text_tokens: int
    hours: dict[str, float]

    @property
    def tokens(self) -> int | None:
        """Positions over all steps."""
        return None if self.samples is None else self.samples * self.sample_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a run takes of a disk and of time.

    Attributes:
        downloads: Bytes of checkpoints by Hub id, the language model first.
        training_states: Bytes of all checkpoints of training that exist at the same time.
        bundles: Bytes of one bundle for each stage and the final one.
        num_weights: Of the language model, without its embedding table.
        ranks: GPUs that share the run.
        stages: In order.
    """

    downloads: dict[str, int]
    training_states: int
    bundles: int
    num_weights: int
    ranks: int
    stages: tuple[StageCost, ...]

    @property
    def hours(self) -> dict[str, float]:
        """Of all stages together by name of the GPU; empty unless every stage has them."""
        if not all(stage.hours for stage in self.stages):
            return {}
        return {gpu.name: sum(stage.hours[gpu.name] for stage in self.stages) for gpu in GPUS}


def measure_cost(recipe: Recipe, parts: Parts, plan: Plan) -> Cost:
    """Work out the cost of a run.

    Args:
        recipe: A checked recipe.
        parts: Of its model.
        plan: Its plan, which says how long samples are and on which device they run.

    Returns:
        The cost.

    Raises:
        RecipeError: The configuration of an encoder is not available.
    """
    num_weights = parts.llm.num_parameters - parts.llm.vocab_size * parts.llm.embedding_dim
    is_large = num_weights >= _LEAST_WEIGHTS
    stages = []
    for stage, planned in zip(recipe.stages, plan.stages, strict=True):
        per_step = stage.batch_size * stage.accumulate
        cost = StageCost(
            name=stage.name,
            samples=None if stage.steps is None else stage.steps * per_step,
            sample_tokens=planned.sample_tokens,
            soft_tokens=planned.soft_tokens,
            facts_tokens=planned.facts_tokens,
            text_tokens=planned.text_tokens,
            hours={},
        )
        is_timed = is_large and plan.device.type == "cuda" and stage.objective == "answer"
        if is_timed and cost.tokens is not None:
            of_each = cost.tokens / plan.device.ranks
            cost = replace(cost, hours=_hours(of_each, num_weights=num_weights))
        stages.append(cost)
    return Cost(
        downloads=download_bytes(recipe, parts),
        training_states=CHECKPOINTS_AT_ONCE * training_state_bytes(recipe, parts),
        bundles=(len(stages) + 1) * bundle_bytes(recipe, parts),
        num_weights=num_weights,
        ranks=plan.device.ranks,
        stages=tuple(stages),
    )


def _hours(tokens: float, *, num_weights: int) -> dict[str, float]:
    """Hours by name of the GPU."""
    return {gpu.name: tokens / tokens_per_s(gpu, num_weights=num_weights) / 3600 for gpu in GPUS}


def tokens_per_s(gpu: Gpu, *, num_weights: int) -> float:
    """How fast a GPU trains, in positions a second.

    A step costs 6 FLOPs for each weight and token with checkpointing (forward, forward again,
    backward to the inputs), so the speed falls as the number of weights rises.

    Args:
        gpu: One of `GPUS`.
        num_weights: Of the language model, without its embedding table.
    """
    return gpu.tokens_per_s * PUBLISHED_WEIGHTS / num_weights


def describe_cost(cost: Cost) -> list[str]:
    """Say what a run costs: disk, the time of each stage, and what the times assume.

    Returns:
        Sentences; the headers of the shipped recipes repeat them.
    """
    lines = []
    if cost.downloads:
        each = ", ".join(f"{path} {size / 1e9:.1f} GB" for path, size in cost.downloads.items())
        lines.append(f"Disk: {sum(cost.downloads.values()) / 1e9:.0f} GB of checkpoints ({each}).")
    lines.append(
        f"Run folder: {_size(cost.training_states + cost.bundles)} at most (training checkpoints "
        f"{_size(cost.training_states)}, bundles {_size(cost.bundles)})."
    )
    for stage in cost.stages:
        if stage.samples is None or stage.tokens is None:
            lines.append(
                f"Time of {stage.name}: not computed; its epochs are counted in steps when its "
                "data is opened."
            )
            continue
        facts = f"{stage.facts_tokens} facts + " if stage.facts_tokens else ""
        number = "one" if cost.ranks == 1 else str(cost.ranks)
        times = ", ".join(
            f"{_duration(hours)} on {number} {gpu}" for gpu, hours in stage.hours.items()
        )
        lines.append(
            f"Time of {stage.name}: {stage.samples:,} samples of {stage.sample_tokens} tokens "
            f"({stage.soft_tokens} soft + {facts}{stage.text_tokens} text) = "
            f"{stage.tokens / 1e6:,.0f} M tokens, "
            f"{times or 'hours not computed (no published speed to go by)'}."
        )
    if any(stage.hours for stage in cost.stages):
        speeds = " and ".join(
            f"{tokens_per_s(gpu, num_weights=cost.num_weights):,.0f} ({gpu.name})" for gpu in GPUS
        )
        lines.append(
            f"Hours are computed, not measured: {speeds} tokens a second through "
            f"{cost.num_weights / 1e9:.1f} G weights, scaled from what fsdp_qlora published for "
            f"{PUBLISHED_WEIGHTS / 1e9:.1f} G."
            + (" What GPUs wait for each other is not counted." if cost.ranks > 1 else "")
        )
    return lines


# --- words --------------------------------------------------------------------------------------


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.1f} MB"


def _duration(hours: float) -> str:
    """Hours, or days where there are many."""
    if hours >= 96:
        return f"{hours / 24:,.0f} days"
    if hours < 0.05:
        return "under 0.1 h"
    return f"{hours:.1f} h" if hours < 10 else f"{hours:.0f} h"
