"""What an importer says of one class of published models: its parts, its prompt, its results.

Holds no importer; those live in one file per family and are listed in `anymal.published.registry`.
Does not write bundles (`anymal.published.importing`) and compares nothing (`...parity`).

Shapes: T positions, Q soft tokens of one medium, D_llm width of the language model's embeddings,
V vocabulary.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoProcessor, PreTrainedModel

from anymal.errors import BundleError
from anymal.llm.load import without_progress
from anymal.published.probe import Probe, two_turns
from anymal.published.prompt_ids import has_start
from anymal.published.rendering import chat_template_of, moves, rendered
from anymal.recipe.schema import AlignerRecipe, EncoderRecipe, TemplateName
from anymal.recipe.side import SideRecipe

_TO_COME = "bundle:"  # the path of an encoder that the import is about to write


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Published:
    """A published model as transformers runs it.

    Attributes:
        model: Of the class that the bundle is compared with, in the dtype that it was saved in.
        processor: Of the same checkpoint, with a `tokenizer`.
    """

    model: Any
    processor: Any


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImportedModality:
    """What a published model has for one modality.

    Attributes:
        encoder: Kind and options, from `encoder_recipe`.
        tower: Model to save for the encoder, with `save_pretrained`; None if it has no weights.
        processor: Preprocessing to save beside it, with `save_pretrained`.
        aligner: Kind, number of soft tokens and options.
        weights: Of the aligner by the names of its `state_dict`. Buffers may be left out.
        prefix: Text before each medium, beside what the chat template writes.
        suffix: Text after each medium, likewise.
        placeholders: Ids that stand in the class's own prompts where soft tokens go; none where
            these stand beside the row.
        vocabulary: Tokeniser of the words that the aligner reads, with `save_pretrained`, or None.
    """

    encoder: EncoderRecipe
    tower: PreTrainedModel | None
    processor: Any
    aligner: AlignerRecipe
    weights: Mapping[str, Tensor]
    prefix: str = ""
    suffix: str = ""
    placeholders: tuple[int, ...]
    vocabulary: Any = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImportedSide:
    """What a published model reads media with beside the row.

    Attributes:
        recipe: Kind and options.
        weights: By the names of the layers' `state_dict`, all of them.
    """

    recipe: SideRecipe
    weights: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFormat:
    """How conversations are written.

    Attributes:
        template: `tokenizer` for the published chat template, or a format of ours.
        chat_template: The published one, in Jinja; goes into the language model's folder.
        media_first: Whether the media of a message come before its words, wherever they stood.
    """

    template: TemplateName = "tokenizer"
    chat_template: str | None = None
    media_first: bool = False


def processor_inputs(published: Published, probe: Probe) -> dict[str, Tensor]:
    """What the class reads for a conversation: by its own chat template and its own processor.

    Args:
        published: With a chat template.
        probe: The conversation.

    Returns:
        `input_ids` `[1, T]`, `attention_mask`, and tensors of media.
    """
    text = rendered(published.processor, probe, generate=True)
    has = has_start(published.processor.tokenizer, text)
    options = {"add_special_tokens": False} if has else {}
    return dict(
        published.processor(text=[text], return_tensors="pt", **options, **probe.arguments())
    )


def class_logits(published: Published, inputs: Mapping[str, Tensor]) -> Tensor:
    """What the class says next at every position, `[T, V]`."""
    logits: Tensor = published.model(**inputs).logits[0]
    return logits


def probed_prompt(published: Published) -> PromptFormat:
    """The published chat template, and whether it writes media before the words of a message.

    Args:
        published: With a chat template.
    """
    processor = published.processor
    found = [moves(processor, kind) for kind in ("image", "audio")]
    known = [moved for moved in found if moved is not None]
    return PromptFormat(
        chat_template=chat_template_of(processor),
        media_first=bool(known) and all(known),
    )


def class_outline(config: Mapping[str, Any]) -> nn.Module:
    """The class of transformers that a configuration names, to count its weights.

    Args:
        config: Of the checkpoint, as it is written.
    """
    model_class: Any = getattr(transformers, config["architectures"][0])
    outline: nn.Module = model_class(model_class.config_class.from_dict(dict(config)))
    return outline


@dataclass(frozen=True, slots=True, kw_only=True)
class Importer:
    """How models of one class become bundles.

    Everything but `load` gets the model that `load` returned, and may change nothing in it.

    Attributes:
        class_name: The first of `architectures` in `config.json`.
        load: From a folder whose files were checked, to the model; see `load_class`.
        llm: A causal language model that owns layers, embedding table and head; see `causal_lm`.
        parts: By modality.
        soft_tokens: From what `inputs` made, the class's soft tokens of each medium, `[Q, D_llm]`.
        side: What it reads media with beside the row; None where they stand in it.
        prompt: How conversations are written.
        inputs: What the class reads for a conversation.
        logits: What it says at every position, `[T, V]`.
        probe: The conversation that it is compared on, from the name of a modality.
        outline: From what `config.json` says, a model of as many weights, to refuse one that lies;
            runs on the meta device.
        others: From what `config.json` says, other checkpoints that it needs, by Hub id or folder;
            `load` finds them by `anymal.published.others.local_other`.
        reads_pickles: Whether a checkpoint without safetensors is read, its pickles by `torch.load`
            with `weights_only=True`.
        ignores_code: Whether the layout is read without the code that its checkpoints bring
            (`auto_map`); others that bring any are refused.
        notes: What a bundle does otherwise than the class usually would; told at the import.
    """

    class_name: str
    load: Callable[[Path], Published]
    llm: Callable[[Published], PreTrainedModel]
    parts: Callable[[Published], Mapping[str, ImportedModality]]
    soft_tokens: Callable[[Published, Mapping[str, Tensor]], Sequence[Tensor]]
    side: Callable[[Published], ImportedSide | None] = field(default=lambda published: None)
    prompt: Callable[[Published], PromptFormat] = probed_prompt
    inputs: Callable[[Published, Probe], Mapping[str, Tensor]] = processor_inputs
    logits: Callable[[Published, Mapping[str, Tensor]], Tensor] = class_logits
    probe: Callable[[str], Probe] = field(default=two_turns)
    outline: Callable[[Mapping[str, Any]], nn.Module] = class_outline
    others: Callable[[Mapping[str, Any]], Sequence[str]] = field(default=lambda config: ())
    reads_pickles: bool = False
    ignores_code: bool = False
    notes: Sequence[str] = ()


# --- what importers are made of -----------------------------------------------------------------


def load_class(model_class: Any) -> Callable[[Path], Published]:
    """The usual `load`: by a class of transformers, which knows all older names of its weights.

    Args:
        model_class: With `from_pretrained`.

    Returns:
        From a folder to the model, in the dtype that it was saved in, and its processor.
    """

    def load(folder: Path) -> Published:
        model = load_whole(model_class, folder)
        auto: Any = AutoProcessor
        with without_progress():
            processor = auto.from_pretrained(folder, trust_remote_code=False)
        return Published(model=model, processor=processor)

    return load


def load_whole(model_class: Any, folder: Path, **options: Any) -> Any:
    """A model with all of its weights, in the dtype that they were saved in.

    Args:
        model_class: With `from_pretrained`.
        folder: Of the checkpoint.
        options: Of `from_pretrained`; safetensors are read unless they say otherwise.

    Returns:
        The model, in eval mode.

    Raises:
        BundleError: The checkpoint lacks a weight, which would be drawn at random.
    """
    given = {"use_safetensors": True, "dtype": "auto", "trust_remote_code": False} | options
    with without_progress():
        model, report = model_class.from_pretrained(folder, output_loading_info=True, **given)
    if missing := sorted(report["missing_keys"]):
        raise BundleError(
            f"{str(folder)!r} lacks {len(missing)} weights of {type(model).__name__}, the first is "
            f"{missing[0]!r}; copy the checkpoint again"
        )
    return model.eval()


def causal_lm(text_config: Any, layers: nn.Module, head: nn.Module, whole: Any) -> PreTrainedModel:
    """A causal language model around the layers and the head of a larger model; copies no weight.

    Args:
        text_config: Of the layers.
        layers: The model without a head, with its embedding table.
        head: From hidden states to logits.
        whole: The larger model, whose generation settings it takes over.

    Returns:
        A model of the class that transformers has for the configuration.
    """
    config = type(text_config).from_dict(text_config.to_dict())
    table = layers.get_input_embeddings()  # type: ignore[operator]  # of a PreTrainedModel
    config.tie_word_embeddings = head.weight is table.weight
    config.dtype = next(layers.parameters()).dtype
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    setattr(model, model.base_model_prefix, layers)
    model.set_output_embeddings(head)
    model.generation_config = whole.generation_config
    causal: PreTrainedModel = model.eval()
    return causal


def encoder_recipe(kind: str, **options: Any) -> EncoderRecipe:
    """The recipe of an encoder that the import writes into the bundle."""
    return EncoderRecipe(kind=kind, path=_TO_COME, embed=True, **options)


def linear_weights(**layers: nn.Module | None) -> dict[str, Tensor]:
    """Weights and biases of linear layers and norms, under other names.

    Args:
        layers: By their new name, in which `__` stands for a dot; None is left out.

    Returns:
        Such as `{"project.0.weight": ..., "project.0.bias": ...}` for `project__0=layer`.
    """
    return {
        f"{name.replace('__', '.')}.{part}": tensor
        for name, layer in layers.items()
        if layer is not None
        for part, tensor in layer.state_dict().items()
    }
