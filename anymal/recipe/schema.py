"""Recipes: what a model is made of and how it is trained, read from YAML plus `key=value`.

Does not build anything and does not import torch; `anymal.assemble` and `train` do.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from aligners.limits import check_num_tokens
from anymal.modality import find_modality
from anymal.recipe.data_entry import DataRecipe
from anymal.recipe.file import read_recipe_file
from anymal.recipe.lora import LoraRecipe
from anymal.recipe.objective import Objective, check_objective, check_objectives
from anymal.recipe.readouts import ReadOutName, ReadOutRecipe
from anymal.recipe.section import Positive, Section, SectionWithOptions, parse_section
from anymal.recipe.senses import ClockRecipe, check_senses
from anymal.recipe.side import SideRecipe
from anymal.recipe.trains import TrainRule, check_trains

Precision = Literal["nf4", "int8", "bf16", "fp32"]
TemplateName = Literal[
    "tokenizer",
    "alpaca",
    "base",
    "chatml",
    "flamingo",
    "instructblip",
    "llama2",
    "minigpt4",
    "otter",
    "plain",
    "vicuna",
]
TrackerName = Literal["dvclive", "mlflow", "swanlab", "tensorboard", "trackio", "wandb"]


# --- the model ----------------------------------------------------------------------------------


class LlmRecipe(Section):
    """The language model."""

    path: str = Field(description="Hub id, folder, or tiny:llm")
    precision: Precision = Field("nf4", description="how the frozen weights are held")
    revision: str | None = Field(None, description="Hub revision; a commit hash is reproducible")
    template: TemplateName = Field("tokenizer", description="how a conversation becomes text")
    markers: dict[str, str] | None = Field(
        None, description="what the template writes for a medium, by modality; null finds out"
    )
    max_tokens: Positive = Field(2048, description="most positions of one sample, slots included")
    embed: bool = Field(False, description="put a copy of the LLM into the bundle")

    @field_validator("precision", mode="before")
    @classmethod
    def _can_be_trained_at(cls, value: Any) -> Any:
        if value == "int4":
            raise ValueError(
                "int4 is for answering and lets no gradient through; train at "
                f"{', '.join(get_args(Precision))}, and serve with --precision int4"
            )
        return value


class EncoderRecipe(SectionWithOptions):
    """A frozen encoder; every other key is an option of its kind."""

    kind: str = Field(description="a name in encoders.registry, or module:name")
    path: str | None = Field(
        None, description="Hub id, folder, or tiny:encoders/NAME; not for kinds without weights"
    )
    embed: bool = Field(False, description="put a copy of the encoder into the bundle")


class AlignerRecipe(SectionWithOptions):
    """A trainable aligner; every other key is an option of its kind."""

    kind: str = Field("perceiver", description="a name in aligners.registry, or module:name")
    num_tokens: int | None = Field(
        64, description="soft tokens per media item; null is one for each feature"
    )

    vocabulary: str | None = Field(
        None,
        description="tokeniser of a kind that reads the words beside a medium: folder or Hub id",
        exclude_if=lambda value: value is None,  # kinds that read none stay as they were written
    )

    @model_validator(mode="after")
    def _num_tokens_fits_the_kind(self) -> Self:
        check_num_tokens(self.kind, self.num_tokens)  # its error is a ValueError
        return self


class ModalityRecipe(Section):
    """One modality of the model."""

    encoder: EncoderRecipe = Field(description="frozen feature extractor")
    aligner: AlignerRecipe = Field(default_factory=AlignerRecipe, description="trainable bridge")
    prefix: str = Field("", description="text written before each media item")
    suffix: str = Field("\n", description="text written after each media item")
    facts: bool = Field(False, description="write what was measured of a medium beside it")


class ModelRecipe(Section):
    """What the model is made of."""

    llm: LlmRecipe = Field(description="the frozen language model")
    modalities: dict[str, ModalityRecipe] = Field(min_length=1, description="by modality name")
    side: SideRecipe | None = Field(None, description="layers that read media beside the row")
    lora: LoraRecipe | None = Field(None, description="adapters on the LLM; {} takes the defaults")
    biases: Literal["all-linear"] | list[str] | None = Field(
        None, description="linear layers that get a bias, zero at first; names, or all-linear"
    )
    extra_tokens: list[str] | None = Field(
        None,
        min_length=1,
        max_length=4096,
        description="words of the template with rows of their own, which train",
    )
    readouts: dict[ReadOutName, ReadOutRecipe] | None = Field(
        None, min_length=1, description="what is read out", exclude_if=lambda own: own is None
    )
    media_first: bool = Field(False, description="write the media of a message before its text")
    needs_media: bool = Field(False, description="refuse conversations without any medium")
    clock: ClockRecipe | None = Field(None, description="for media that were recorded together")
    start_from: str | None = Field(None, description="bundle whose trained parts to start from")

    def media_width(self, hidden_dim: int) -> int:
        """Width that aligners give, by that of the language model's embeddings."""
        return hidden_dim if self.side is None else self.side.media_width(hidden_dim)

    @model_validator(mode="after")
    def _modalities_are_known(self) -> Self:
        for name in self.modalities:
            find_modality(name)  # its error is a ValueError
        check_senses(self.modalities, clock=self.clock, side=self.side)
        for name in self.llm.markers or {}:
            if name not in self.modalities:
                raise ValueError(
                    f"llm.markers names {name!r}; the model has {', '.join(self.modalities)}"
                )
        return self


# --- training -----------------------------------------------------------------------------------


class StageRecipe(Section):
    """One stage of training."""

    name: str = Field(min_length=1, description="name in reports and overrides")
    kind: Literal["align", "instruct"] | None = Field(
        None, description="aligners and what reads media, or these and LoRA; or give trains"
    )
    trains: list[TrainRule] | None = Field(
        None, min_length=1, description="rules for what trains; the first that matches counts"
    )
    objective: Objective = Field(
        "answer",
        description="what is minimised: answer, words, or a section with a kind",
    )
    modalities: list[str] | None = Field(None, description="aligners that train; null is all")
    data: list[DataRecipe] = Field(min_length=1, description="the weighted mixture")
    heldout: list[DataRecipe] | None = Field(None, description="records that are only measured")
    steps: Positive | None = Field(None, description="optimiser steps; or give epochs")
    epochs: float | None = Field(None, gt=0, description="passes over the rows of the mixture")
    batch_size: Positive = Field(description="samples per batch")
    accumulate: Positive = Field(1, description="batches per optimiser step")
    micro_batch: Positive | Literal["auto"] | None = Field(
        None, description="most samples in one pass; auto takes what fits, null the whole batch"
    )
    packing: bool = Field(False, description="samples one after the other in rows, not padded")
    lr: float = Field(gt=0, description="peak learning rate, of all that has no other")
    lora_lr: float | None = Field(None, gt=0, description="peak rate of LoRA; null takes lr")
    optimizer: Literal["adamw", "paged_adamw_8bit"] = Field("adamw", description="optimiser")
    weight_decay: float = Field(0.0, ge=0, description="on matrices; norms and biases are spared")
    warmup_steps: int = Field(0, ge=0, description="steps until the peak rate")
    min_lr_ratio: float = Field(0.0, ge=0, le=1, description="share of the peak at the last step")
    clip_norm: float | None = Field(1.0, gt=0, description="largest gradient norm; null: none")
    checkpointing: bool = Field(False, description="trade compute for activation memory")
    save_every: Positive = Field(500, description="steps between checkpoints")
    eval_every: Positive = Field(500, description="steps between held-out losses")
    ask_every: Positive | None = Field(
        None, description="steps between held-out questions; null asks them after the last stage"
    )
    eval_samples: Positive = Field(256, description="held-out records, over all sources")
    keep: Literal["last", "best"] = Field("last", description="weights that the stage ends with")
    best_by: Literal["heldout_loss", "accuracy"] = Field(
        "heldout_loss", description="the measure of keep and patience"
    )
    patience: Positive | None = Field(
        None, description="measurements without a better one after which the stage ends"
    )
    bucket: bool = Field(True, description="batch samples of similar length")
    modality_dropout: float = Field(0.0, ge=0, le=1, description="how often a medium is left out")

    @property
    def num_steps(self) -> int:
        """Optimiser steps; where the recipe gives epochs, once they were counted in steps."""
        assert self.steps is not None, "the rows are not counted yet"
        return self.steps

    @model_validator(mode="after")
    def _has_one_length(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give exactly one of steps and epochs, and null for the other")
        if self.steps is not None and self.warmup_steps >= self.steps:
            raise ValueError(
                f"warmup_steps is {self.warmup_steps} of {self.steps} steps; lower warmup_steps"
            )
        return self

    @model_validator(mode="after")
    def _measures_what_it_needs(self) -> Self:
        asks, judges = self.ask_every is not None, self.keep == "best" or self.patience is not None
        if (asks or judges) and not self.heldout:
            raise ValueError("keep: best, patience and ask_every need heldout")
        if self.best_by == "accuracy" and not asks:
            raise ValueError("best_by: accuracy needs ask_every: how often to ask the questions")
        return self

    @model_validator(mode="after")
    def _says_what_trains_once(self) -> Self:
        if (self.kind is None) == (self.trains is None):
            raise ValueError("give exactly one of kind and trains")
        if self.trains is not None and (self.modalities, self.lora_lr) != (None, None):
            raise ValueError("modalities and lora_lr belong to kind; say them as rules of trains")
        return self

    @model_validator(mode="after")
    def _keys_fit_the_objective(self) -> Self:
        check_objective(self)  # its error is a ValueError
        return self


class Recipe(Section):
    """A model and the stages that train it."""

    run_dir: str = Field(description="folder of the run, relative to the working directory")
    seed: int = Field(0, ge=0, description="of initial weights and of the order of records")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU if any")
    memory: str | None = Field(None, description="what may be used, as 80GiB; null asks the device")
    max_bad: int = Field(0, ge=0, description="most manifest rows to leave out as unusable")
    decode_workers: int = Field(0, ge=0, description="processes that decode media; 0: none")
    features: str | None = Field(None, description="folder that `anymal data encode` wrote")
    shard: bool = Field(False, description="each of several GPUs holds a part of the 4-bit model")
    report: list[TrackerName] = Field(default_factory=list, description="experiment trackers")
    model: ModelRecipe = Field(description="what the model is made of")
    stages: list[StageRecipe] = Field(min_length=1, description="in order")

    @model_validator(mode="after")
    def _stages_fit_the_model(self) -> Self:
        names = [stage.name for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError(f"stages need different names, got {', '.join(names)}")
        for stage in self.stages:
            for name in stage.modalities or []:
                if name not in self.model.modalities:
                    raise ValueError(
                        f"stages.{stage.name}.modalities names {name!r}; "
                        f"the model has {', '.join(self.model.modalities)}"
                    )
            if stage.kind == "instruct" and self.model.lora is None:
                raise ValueError(
                    f"stage {stage.name!r} is of kind instruct, which trains LoRA; "
                    "set model.lora (model.lora={} takes the defaults), or use kind: align"
                )
        check_objectives(self)  # their errors are ValueErrors
        check_trains(self)
        return self


def load_recipe(
    path: Path | str, overrides: Sequence[str] = (), *, keep_unset: bool = False
) -> Recipe:
    """Read a recipe file.

    Args:
        path: The YAML file. Relative paths in it are relative to its folder (`run_dir`: to the
            working directory); `tiny:NAME` is a folder of the built-in bundle; `${ANYMAL_DATA}`
            and other `ANYMAL_*` variables are replaced.
        overrides: `a.b=c`, later ones win; the value is YAML. A list is entered by index or by
            the `name` of an item: `stages.align.steps=10`.
        keep_unset: Leave a variable that is not set as it is written, for readers that open no file
            of the recipe's.

    Returns:
        The checked recipe, its paths absolute.

    Raises:
        RecipeError: The file or an override is wrong; the message names the key.
    """
    values = read_recipe_file(Path(path), overrides, keep_unset=keep_unset)
    return parse_section(Recipe, values, where=str(path))
