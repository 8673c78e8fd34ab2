"""Three vision-language models of transformers on the one shape, and the usual step over them.

Built from their configurations with random weights; nothing is downloaded. The connector trains,
the vision tower and the language model are frozen. Dropout is zero everywhere, as it is in ours.

Shapes: B samples, H and W pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    CLIPVisionConfig,
    Idefics2Config,
    Idefics2ForConditionalGeneration,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    MistralConfig,
    OPTConfig,
)
from transformers.models.blip_2.configuration_blip_2 import Blip2QFormerConfig, Blip2VisionConfig
from transformers.models.idefics2.configuration_idefics2 import (
    Idefics2PerceiverConfig,
    Idefics2VisionConfig,
)

from anymal.llm.load import without_progress
from anymal.sample import IGNORED
from benchmarks.serving.shape import NUM_SOFT, WIDE
from benchmarks.training.shape import IMAGE_ID, VIT, Lesson

LR, CLIP_NORM = 1e-4, 1.0
# Idefics2's own depth and proportions, at the width of this shape.
_RESAMPLER = {"resampler_n_heads": 12, "resampler_head_dim": 64, "num_key_value_heads": 4}
# OPT has neither a gate nor grouped keys; this width gives it as many weights as the Llama.
_OPT_FFN = 2560
_QFORMER = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 6}


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one step did.

    Attributes:
        loss: Mean over the learnt words, in nats.
        positions: Of all samples.
        run: Rows that the language model was given, as its module saw them.
        learnt: Words that were learnt.
    """

    loss: float
    positions: int
    run: int
    learnt: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contender:
    """Something that trains a connector between a frozen encoder and a frozen language model.

    Attributes:
        prepare: What processes that load data do beforehand.
        step: Takes one optimiser step on what was prepared.
        language: Parameters of the language model, its output head included.
        trained: Parameters that train.
    """

    prepare: Callable[[Lesson], Any]
    step: Callable[[Any], Work]
    language: int
    trained: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Peer:
    """A model of transformers and its parts.

    Attributes:
        model: The whole of it.
        language: Its language model without the output head.
        connector: What trains.
        pictures: From `[B, 3, H, W]` to what it takes.
    """

    model: Any
    language: nn.Module
    connector: Sequence[nn.Module | nn.Parameter]
    pictures: Callable[[Tensor], Tensor] = lambda pixels: pixels

    def contender(self) -> Contender:
        """The peer with the usual training step, as Trainer takes it."""
        self.model.train().requires_grad_(False)
        trained: list[nn.Parameter] = []
        for part in self.connector:
            part.requires_grad_(True)
            trained += [part] if isinstance(part, nn.Parameter) else list(part.parameters())
        optimiser = torch.optim.AdamW(trained, lr=LR, weight_decay=0.0, fused=True)
        run = counted(self.language)

        def prepare(lesson: Lesson) -> dict[str, Tensor]:
            return {
                "pixel_values": self.pictures(lesson.pixels),
                "input_ids": lesson.ids,
                "attention_mask": torch.ones_like(lesson.ids),
                "labels": lesson.labels,
            }

        def step(inputs: dict[str, Tensor]) -> Work:
            run.clear()
            loss = self.model(**inputs).loss
            loss.backward()
            nn.utils.clip_grad_norm_(trained, CLIP_NORM)
            optimiser.step()
            optimiser.zero_grad()
            learnt = int((inputs["labels"][:, 1:] != IGNORED).sum())
            positions = inputs["input_ids"].numel()
            return Work(loss=loss.item(), positions=positions, run=sum(run), learnt=learnt)

        parameters = {*self.language.parameters(), *self.model.get_output_embeddings().parameters()}
        return Contender(
            prepare=prepare,
            step=step,
            language=sum(parameter.numel() for parameter in parameters),
            trained=sum(parameter.numel() for parameter in trained),
        )


def counted(language: nn.Module) -> list[int]:
    """Count the rows of each call of a language model, in a list that its reader clears."""
    run: list[int] = []

    def notice(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        run.append(kwargs["inputs_embeds"].shape[:2].numel())

    language.register_forward_pre_hook(notice, with_kwargs=True)
    return run


def llava() -> Peer:
    """LLaVA: a Llama and two linear layers."""
    config = LlavaConfig(
        text_config=LlamaConfig(**WIDE),
        vision_config=CLIPVisionConfig(**VIT),
        image_token_index=IMAGE_ID,
        image_seq_length=NUM_SOFT,
        tie_word_embeddings=False,
    )
    model = _made(LlavaForConditionalGeneration, config)
    return Peer(
        model=model,
        language=model.model.language_model,
        connector=[model.model.multi_modal_projector],
    )


def idefics2() -> Peer:
    """Idefics2: a Mistral and a perceiver resampler."""
    perceiver = Idefics2PerceiverConfig(
        hidden_size=WIDE["hidden_size"],
        resampler_n_latents=NUM_SOFT,
        rms_norm_eps=1e-6,
        **_RESAMPLER,
    )
    config = Idefics2Config(
        text_config=MistralConfig(**WIDE, sliding_window=None),
        vision_config=Idefics2VisionConfig(**VIT),
        perceiver_config=perceiver,
        image_token_id=IMAGE_ID,
    )
    model = _made(Idefics2ForConditionalGeneration, config)
    return Peer(
        model=model,
        language=model.model.text_model,
        connector=[model.model.connector],
        pictures=lambda pixels: pixels[:, None],
    )


def blip2() -> Peer:
    """BLIP-2: an OPT and a Q-Former."""
    text = OPTConfig(
        **{name: WIDE[name] for name in ("hidden_size", "num_hidden_layers", "vocab_size")},
        num_attention_heads=WIDE["num_attention_heads"],
        ffn_dim=_OPT_FFN,
        word_embed_proj_dim=WIDE["hidden_size"],
        max_position_embeddings=512,
        tie_word_embeddings=False,
        dropout=0.0,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
    )
    config = Blip2Config(
        text_config=text,
        vision_config=Blip2VisionConfig(**VIT, initializer_range=0.02),
        qformer_config=Blip2QFormerConfig(
            **_QFORMER,
            intermediate_size=4 * _QFORMER["hidden_size"],
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        ),
        num_query_tokens=NUM_SOFT,
        image_token_index=IMAGE_ID,
        tie_word_embeddings=False,
    )
    model = _made(Blip2ForConditionalGeneration, config)
    return Peer(
        model=model,
        language=model.language_model,
        connector=[model.query_tokens, model.qformer, model.language_projection],
    )


def _made(model_class: Any, config: Any) -> Any:
    """The model with random weights."""
    torch.manual_seed(0)
    with without_progress():
        return model_class(config)
