"""Tiny random models and encoders, and a fake of a model behind an engine.

Nothing heavy is imported until a test asks for it.
"""

import base64
import io
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from anymal.engine.events import Logprob
from anymal.engine.prompt import EmbeddingSpan, Prompt, TokenSpan
from anymal.engine.reply import Drawn
from anymal.errors import TooLong

if TYPE_CHECKING:
    from anymal.assemble import Assembled
    from anymal.recipe.schema import ModelRecipe

SPECIALS = ["<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>", "<|eot|>"]
CORPUS = ["[INST] What colour is it? [/INST] It is red. It is blue.", "USER: ASSISTANT: one two"]


def save_tiny_tokenizer(folder: Path, *, vocab_size: int = 320) -> None:
    """A byte-level BPE tokeniser, which can spell any text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        special_tokens=SPECIALS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        vocab_size=vocab_size,
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=SPECIALS[3:],
    ).save_pretrained(folder)


def save_tiny_llm(folder: Path, *, seed: int = 0, vocab_size: int = 320, **changes: Any) -> Path:
    """A random two-layer Llama, its embeddings wide enough apart to have an opinion."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    save_tiny_tokenizer(folder, vocab_size=vocab_size)
    sizes = {
        "vocab_size": vocab_size,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 2,
        "tie_word_embeddings": False,
        "initializer_range": 0.1,
    }
    torch.manual_seed(seed)
    LlamaForCausalLM(LlamaConfig(**(sizes | changes))).save_pretrained(folder)
    return folder


def save_tiny_vision(folder: Path, *, seed: int = 0) -> Path:
    """A random CLIP vision tower for pictures of 16 pixels."""
    import torch
    from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModel

    torch.manual_seed(seed)
    config = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
    )
    CLIPVisionModel(config).save_pretrained(folder)
    size = {"height": 16, "width": 16}
    CLIPImageProcessorPil(size=size, crop_size=size).save_pretrained(folder)
    return folder


def save_tiny_imu(folder: Path) -> Path:
    """A random transformer for motion."""
    import torch

    from encoders.imu.transformer import ImuTransformerConfig, ImuTransformerModel

    torch.manual_seed(0)
    config = ImuTransformerConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        stem_layers=1,
        window_samples=64,
    )
    ImuTransformerModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Folders `llm`, `vision` and `imu`, and the function that makes other language models."""
    from anymal.llm.load import without_progress

    root = tmp_path_factory.mktemp("checkpoints")
    with without_progress():
        return SimpleNamespace(
            llm=save_tiny_llm(root / "llm"),
            vision=save_tiny_vision(root / "vision"),
            imu=save_tiny_imu(root / "imu"),
            make_llm=save_tiny_llm,
            make_vision=save_tiny_vision,
        )


@pytest.fixture(scope="session")
def model_recipe(checkpoints: SimpleNamespace) -> Callable[..., "ModelRecipe"]:
    """Makes the recipe of a model of images and motion; keywords change its `llm` section."""
    from anymal.recipe.schema import ModelRecipe

    def make(*, lora: dict[str, Any] | None = None, embed: bool = False, **llm: Any) -> ModelRecipe:
        section = {"path": str(checkpoints.llm), "precision": "fp32", "template": "llama2"}
        perceiver = {"num_tokens": 32, "depth": 1, "num_heads": 2, "head_dim": 8}
        vision = {"kind": "vision", "path": str(checkpoints.vision), "embed": embed}
        imu = {"kind": "imu_transformer", "path": str(checkpoints.imu), "embed": embed}
        return ModelRecipe.model_validate(
            {
                "llm": section | {"embed": embed} | llm,
                "modalities": {
                    "image": {"encoder": vision, "aligner": perceiver},
                    "imu": {"encoder": imu, "aligner": {"kind": "linear", "num_tokens": 40}},
                },
                "lora": lora,
            }
        )

    return make


@pytest.fixture(scope="session")
def assembled(model_recipe: Callable[..., "ModelRecipe"]) -> "Assembled":
    """A float32 model of images and motion, shared: do not train it."""
    import torch

    from anymal.assemble import build

    torch.manual_seed(0)
    return build(model_recipe())


def png(colour: tuple[int, int, int]) -> str:
    """A small picture of one colour as a data URL."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (20, 16), colour).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


@pytest.fixture(scope="session")
def talk() -> Callable[..., dict[str, Any]]:
    """Makes a record: `talk("What is it?", "Red.", images=[(255, 0, 0)], motions=1)`."""

    def make(
        question: str,
        answer: str | None = None,
        *,
        images: list[tuple[int, int, int]] | None = None,
        motions: int = 0,
    ) -> dict[str, Any]:
        parts: list[dict[str, Any]] = [
            {"type": "image_url", "image_url": {"url": png(colour)}} for colour in images or []
        ]
        for number in range(motions):
            samples = [[0.1 * number, 0.0, 9.8, 0.0, 0.01 * i, 0.0] for i in range(64)]
            parts.append({"type": "input_imu", "input_imu": {"samples": samples, "rate_hz": 50}})
        parts.append({"type": "text", "text": question})
        messages: list[dict[str, Any]] = [{"role": "user", "content": parts}]
        if answer is not None:
            messages.append({"role": "assistant", "content": answer})
        return {"id": question, "messages": messages}

    return make


class ByteRunner:
    """A model whose ids are bytes and whose answer is its prompt, one byte a step.

    A test may hold it at each step, and break steps or single answers at a letter.
    """

    context = 1000
    num_blocks = 200
    block_bytes = 100
    root: "bytes | None" = b"root"

    def __init__(self) -> None:
        self.vocabulary: Any = self
        self.said: list[str] = []
        self.samplings: list[Any] = []
        self.batches: list[int] = []
        self.scrubbed: list[int] = []
        self.breaks_step_at = self.breaks_answer_at = ""
        self._steps = threading.Semaphore(0)
        self._is_held = False

    def hold(self) -> None:
        """Take no step but those that `let` allows."""
        self._is_held = True

    def let(self, number: int) -> None:
        """Allow some steps."""
        for _ in range(number):
            self._steps.release()

    def let_go(self) -> None:
        """Allow all of them."""
        self._is_held = False
        self.let(1000)

    def check(self, prompt: Any) -> None:
        """Refuses prompts with a byte that is none."""
        if max(prompt.spans[0].ids, default=0) > 255:
            raise TooLong("no byte")

    def step(self, works: Any) -> list[Any]:
        if self._is_held:
            assert self._steps.acquire(timeout=10)
        self.batches.append(len(works))
        return [self._draw(work.request) if work.is_complete else None for work in works]

    def _draw(self, request: Any) -> Any:
        number, words = len(request.ids), request.prompt.spans[0].ids
        if number == 0:
            self.said.append("")
            self.samplings.append(request.sampling)
            request.drawer = len(self.said) - 1
        if number == len(words):
            return Drawn(id=0, ends=True)
        letter = chr(words[number])
        if letter == self.breaks_step_at:
            raise RuntimeError("out of luck")
        if letter == self.breaks_answer_at:
            return RuntimeError("out of luck alone")
        self.said[request.drawer] += letter
        return Drawn(id=words[number], logprob=None if request.sampling.logprobs is None else -1.0)

    def scrub(self, blocks: Any) -> None:
        self.scrubbed += blocks

    def text(self, ids: Any) -> str:
        return bytes(ids).decode(errors="replace")

    def logprob(self, id_: int, logprob: float, top: Any) -> Logprob:
        return Logprob(token=chr(id_), bytes_=bytes([id_]), logprob=logprob)


@pytest.fixture
def byte_runner() -> ByteRunner:
    return ByteRunner()


@pytest.fixture(scope="session")
def say() -> "Callable[[str], Prompt]":
    """Makes a prompt that `ByteRunner` says back, a motion of six positions behind its words."""

    def make(text: str) -> Prompt:
        motion: Any = range(6)
        words = TokenSpan(ids=tuple(text.encode()))
        return Prompt(spans=(words, EmbeddingSpan(embeddings=motion, digest="0", kind="imu")))

    return make
