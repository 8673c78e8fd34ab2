"""A bundle's language model as a plain checkpoint in bfloat16, LoRA in its weights.

Whatever reads checkpoints of transformers reads it: `AutoModelForCausalLM`, vLLM, the converter of
llama.cpp. The weights are those that LoRA was trained beside: of an `nf4` model the rounded ones.
"""

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from anymal.bundle.load import load_bundle
from anymal.llm.load import without_progress
from anymal.llm.plain import plain_model
from anymal.published.chat_template import chat_template
from anymal.published.written import Written, readable, without_aligners

SHARD_SIZE = "5GB"


def write_merged(bundle: str | Path, draft: Path) -> Written:
    """Write the checkpoint.

    Args:
        bundle: Its folder, or `tiny`.
        draft: An empty folder.

    Returns:
        What was written.

    Raises:
        BundleError: The bundle is damaged, or a part differs.
        RecipeError: A part cannot be built.
    """
    assembled = load_bundle(bundle)
    recipe, llm = assembled.model_recipe, assembled.model.llm
    template = chat_template(recipe, own_template(llm.tokenizer), tokens={})
    write_tokenizer(llm.tokenizer, draft, template=template)
    plain = plain_model(llm, dtype=torch.bfloat16)
    end_answers(plain, assembled.model.stop_ids)
    write_model(plain, draft)
    has_lora = "" if recipe.lora is None else ", LoRA in its weights"
    return Written(
        holds=(
            f"{type(plain).__name__} in bfloat16{has_lora}: "
            "transformers.AutoModelForCausalLM.from_pretrained(FOLDER)"
        ),
        lacks=without_aligners(recipe.modalities),
    )


def end_answers(model: Any, stop_ids: Collection[int]) -> None:
    """Let `generate` end an answer where the bundle does: a format's end of a turn counts too.

    Args:
        model: Of transformers; its generation settings change.
        stop_ids: Of the bundle.
    """
    ends = sorted(stop_ids)
    model.generation_config.eos_token_id = ends if len(ends) > 1 else ends[0]


def write_model(model: Any, folder: Path) -> None:
    """Write a model of transformers in shards, under the names that its class publishes.

    Args:
        model: Of transformers.
        folder: Of the checkpoint.
    """
    with without_progress():
        model.save_pretrained(folder, max_shard_size=SHARD_SIZE)
    # As it was published: save_pretrained refuses some that loading accepts.
    model.generation_config.to_json_file(folder / "generation_config.json")
    readable(folder)


def own_template(tokenizer: Any) -> str:
    """The chat template that came with a tokeniser, empty if none did."""
    return str(tokenizer.get_chat_template()) if tokenizer.chat_template else ""


def write_tokenizer(tokenizer: Any, folder: Path, *, template: str) -> None:
    """Write a tokeniser, with the files that only its own format has.

    Args:
        tokenizer: Of transformers; stays as it is.
        folder: Of the checkpoint.
        template: Its chat template.
    """
    own = tokenizer.chat_template
    tokenizer.chat_template = template
    try:
        tokenizer.save_pretrained(folder)
    finally:
        tokenizer.chat_template = own
    for name in tokenizer.vocab_files_names.values():
        source = Path(tokenizer.name_or_path) / name
        if source.is_file() and not (folder / name).exists():  # converters read sentencepiece's
            shutil.copyfile(source, folder / name)
