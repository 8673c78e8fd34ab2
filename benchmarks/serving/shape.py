"""The one shape that contenders share: an 88M-parameter Llama of random weights, and its prompts.

Does not run it. Greedy answers that never end by themselves, so that all do the same work.

Shapes: Q soft tokens, T text tokens, D_llm embedding width.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

from anymal.assemble import build
from anymal.bundle.save import save_bundle
from anymal.engine.events import Logprob
from anymal.engine.prompt import EmbeddingSpan, Prompt, TokenSpan
from anymal.llm.causal_lm import LLM
from anymal.llm.load import without_progress
from anymal.recipe.file import TINY
from anymal.recipe.schema import ModelRecipe

WIDE = {
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_key_value_heads": 4,
    "vocab_size": 8192,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
# The size of CLIP's ViT-B/16: an encoder that takes as long as those that people use on a CPU.
VIT = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 16,
}
NUM_SOFT, NUM_TEXT, NUM_NEW = 64, 64, 32
NUM_CLIENTS = 8
STAGGER_S = 0.05  # between the first requests of two clients


class Numbers:
    """A vocabulary whose words are their ids: every token is a piece."""

    eos_token_id = None
    stop = ""

    def text(self, ids: Sequence[int]) -> str:
        """See `anymal.engine.reply.Vocabulary`."""
        return "".join(f" {id_}" for id_ in ids)

    def logprob(self, id_: int, logprob: float, top: Any) -> Logprob:
        """See `anymal.engine.reply.Vocabulary`; nobody asks for it here."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """One client's prompt, for engines and for `generate`.

    Attributes:
        prompt: Q soft tokens, then T words.
        rows: The same as embeddings, `[Q + T, D_llm]`.
    """

    prompt: Prompt
    rows: Tensor


def wide_llama() -> LlamaForCausalLM:
    """The model; always the same weights."""
    torch.manual_seed(0)
    with without_progress():
        model = LlamaForCausalLM(LlamaConfig(**WIDE))
    return model.eval().requires_grad_(False)


def twin(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """Another module tree over the very same tensors."""
    other = LlamaForCausalLM(LlamaConfig(**WIDE))
    other.load_state_dict(model.state_dict(), assign=True)
    return other.eval().requires_grad_(False)


def as_llm(model: LlamaForCausalLM) -> LLM:
    """For the engine, which changes how the model attends."""
    return LLM(model, Numbers(), precision="fp32", tuner=None)


@torch.no_grad()
def questions(model: LlamaForCausalLM, number: int, seed: int) -> list[Question]:
    """Prompts that share nothing, so that no cache helps.

    Args:
        model: Whose embeddings are looked up.
        number: How many.
        seed: No two seeds give the same prompt.
    """
    table: nn.Embedding = model.get_input_embeddings()
    random = torch.Generator().manual_seed(seed)
    found = []
    for index in range(number):
        soft = 0.02 * torch.randn(NUM_SOFT, WIDE["hidden_size"], generator=random)
        ids = torch.randint(WIDE["vocab_size"], (NUM_TEXT,), generator=random)
        spans = (
            EmbeddingSpan(embeddings=soft, digest=f"{seed} {index}", kind="image"),
            TokenSpan(ids=tuple(ids.tolist())),
        )
        rows = torch.cat([soft, table(ids)])  # [Q + T, D_llm]
        found.append(Question(prompt=Prompt(spans=spans), rows=rows))
    return found


@torch.no_grad()
def save_wide_bundle(folder: Path) -> Path:
    """A bundle of the shape with a ViT-B/16 before it, its weights random.

    Args:
        folder: Where to; 700 MB.

    Returns:
        The bundle's folder.
    """
    llm, vision = folder / "llm", folder / "vision"
    ignored = shutil.ignore_patterns("*.safetensors", "config*", "generation*")
    shutil.copytree(TINY / "llm", llm, ignore=ignored)
    model = wide_llama()
    with without_progress():
        say_words_only(model, llm)
        model.save_pretrained(llm)
        torch.manual_seed(1)
        CLIPVisionModel(CLIPVisionConfig(**VIT)).save_pretrained(vision)
        size = {"height": VIT["image_size"], "width": VIT["image_size"]}
        CLIPImageProcessorPil(size=size, crop_size=size).save_pretrained(vision)
        recipe = ModelRecipe.model_validate(
            {
                "llm": {"path": str(llm), "precision": "fp32", "max_tokens": 1024},
                "modalities": {
                    "image": {
                        "encoder": {"kind": "vision", "path": str(vision)},
                        "aligner": {"kind": "perceiver", "num_tokens": NUM_SOFT},
                    }
                },
            }
        )
        return save_bundle(build(recipe), folder / "bundle")


def say_words_only(model: PreTrainedModel, folder: Path) -> None:
    """Let the model choose among whole words, each of which is a piece of the answer at once.

    Others would be held back as part of a character, or as the space before the next word. Their
    scores are zero, far below the largest of the rest; the work is the same.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    words = [id_ for token, id_ in tokenizer.get_vocab().items() if token.isalpha()]
    silent = torch.ones(WIDE["vocab_size"], dtype=torch.bool)
    silent[words] = False
    model.get_output_embeddings().weight[silent] = 0
