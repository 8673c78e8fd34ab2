"""An imported model beside its own class: eight clients, each asks once about a picture of its own.

The engine gets conversations, decodes pictures and prepares them while the clock runs; `generate`
of the class gets tensors that are ready. The model is a LLaVA of random weights in the proportions
of LLaVA-1.5: the language model of the other benchmarks, a tower of a twentieth of its size.

    .venv/bin/python -m benchmarks.serving.imported --rounds 5 --out runs/imported.json
"""

import base64
import io
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import (
    AutoTokenizer,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from anymal.llm.load import without_progress
from anymal.published.importing import import_model
from anymal.recipe.file import TINY
from anymal.serving.assistant import Assistant, load
from benchmarks.serving.contenders import Moments, exchange_of, sleep_until
from benchmarks.serving.figures import figures
from benchmarks.serving.line import Exchange
from benchmarks.serving.load import medians
from benchmarks.serving.rounds import run_in_rounds
from benchmarks.serving.shape import NUM_CLIENTS, NUM_NEW, STAGGER_S, WIDE, say_words_only
from benchmarks.turns import probe_ms, rotated, unsteady

ENGINE, CLASS = "engine", "generate of the class"
SIDE, PATCH = 128, 16  # as many soft tokens as in the other benchmarks, 64
TOWER = {
    "hidden_size": 256,
    "intermediate_size": 1024,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "image_size": SIDE,
    "patch_size": PATCH,
}
_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}ASSISTANT: "
    "{{ message['content'][0]['text'] }}{{ eos_token }}{% else %}USER: "
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>\n' }}"
    "{% else %}{{ part['text'] }} {% endif %}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
_QUESTION = "What do you see in this picture, and what is it that stands in front of the house?"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """One client's question.

    Attributes:
        messages: For the engine.
        inputs: The same for the class, ready.
    """

    messages: list[dict[str, Any]]
    inputs: dict[str, Tensor]


Answered = list[tuple[Exchange, str]]
"""Each client's exchange, and what it was answered."""


def imported(*, rounds: int, tick: Callable[[str], object] = lambda name: None) -> dict[str, Any]:
    """Measure.

    Args:
        rounds: Turns of each contender, after one that warms up.
        tick: Called after each turn.

    Returns:
        Figures by contender, and what the rounds show together under `summary`.
    """
    found: dict[str, list[dict[str, Any]]] = {ENGINE: [], CLASS: []}
    said: dict[str, list[str]] = {ENGINE: [], CLASS: []}
    with tempfile.TemporaryDirectory() as made:
        checkpoint, bundle = save_llava(Path(made) / "llava"), Path(made) / "bundle"
        import_model(checkpoint, bundle, tell=lambda what: None)
        model: Any = LlavaForConditionalGeneration.from_pretrained(checkpoint).eval()
        processor: Any = LlavaProcessor.from_pretrained(checkpoint)
        with load(bundle, precision="fp32") as assistant:
            ways: dict[str, Callable[[Sequence[Asked]], Answered]] = {
                ENGINE: lambda asked: _by_engine(assistant, asked),
                CLASS: lambda asked: _by_class(model, processor.tokenizer, asked),
            }
            for number in range(rounds + 1):
                asked = questions(processor, NUM_CLIENTS if number else 2, seed=number)
                for name in rotated(list(ways), number):
                    probe = probe_ms()
                    answered = ways[name](asked)
                    tick(name)
                    if number:  # the first warms up
                        row = figures([exchange for exchange, _ in answered])
                        found[name].append({**row, "probe_ms": probe})
                        said[name] += [text for _, text in answered]
    contenders = {name: {"median": medians(rows), "rounds": rows} for name, rows in found.items()}
    return {"contenders": contenders, "summary": summary(found, said)}


def summary(found: dict[str, list[dict[str, Any]]], said: dict[str, list[str]]) -> dict[str, Any]:
    """The ratio of the rounds' medians, and whether the same was said."""
    tokens = {name: medians(rows)["output_tokens_per_s"] for name, rows in found.items()}
    pairs = zip(said[ENGINE], said[CLASS], strict=True)
    same = sum(one.strip() == other.strip() for one, other in pairs)
    probes = [row["probe_ms"] for rows in found.values() for row in rows]
    return {
        "imported_vs_class_generate": round(tokens[ENGINE] / tokens[CLASS], 2),
        "same_answers": f"{same} of {len(said[CLASS])}",
        "unsteady_turns": unsteady(probes),
    }


def num_turns(rounds: int) -> int:
    """How often `tick` will be called."""
    return 2 * (rounds + 1)


@torch.no_grad()
def save_llava(folder: Path) -> Path:
    """The model, as transformers publishes it; 370 MB.

    Args:
        folder: Where to.

    Returns:
        The folder.
    """
    ignored = shutil.ignore_patterns("*.safetensors", "config*", "generation*", "*.jinja")
    shutil.copytree(TINY / "llm", folder, ignore=ignored)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**TOWER).to_dict(),
        text_config=LlamaConfig(**WIDE).to_dict(),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    size = {"height": SIDE, "width": SIDE}
    processor: Any = LlavaProcessor(  # type: ignore[no-untyped-call]
        CLIPImageProcessorPil(size=size, crop_size=size),
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_TEMPLATE,
    )
    torch.manual_seed(0)
    with without_progress():
        model = LlavaForConditionalGeneration(config)
        say_words_only(model, folder)
        model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def questions(processor: Any, number: int, seed: int) -> list[Asked]:
    """Questions about pictures of noise, none of them twice, so that no cache helps.

    Args:
        processor: The class's own.
        number: How many.
        seed: No two seeds give the same picture.
    """
    random = np.random.default_rng(seed)
    shape = (number, SIDE, SIDE, 3)
    pictures = [Image.fromarray(each) for each in random.integers(0, 256, shape, dtype=np.uint8)]
    text = {"type": "text", "text": _QUESTION}
    written = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, text]}], add_generation_prompt=True
    )
    found = []
    for picture in pictures:
        part = {"type": "image_url", "image_url": {"url": _png(picture)}}
        inputs = processor(text=[written], images=[picture], return_tensors="pt")
        messages = [{"role": "user", "content": [part, text]}]
        found.append(Asked(messages=messages, inputs=dict(inputs)))
    return found


def _png(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _by_engine(assistant: Assistant, asked: Sequence[Asked]) -> Answered:
    """Through the processor, the encoder and the engine of a service, without HTTP."""
    start = time.perf_counter()
    answers: dict[int, tuple[Exchange, str]] = {}

    def client(index: int) -> None:
        due = start + index * STAGGER_S
        sleep_until(due)
        began, pieces = time.perf_counter(), []
        options = {"max_tokens": NUM_NEW, "ignore_eos": True}
        with assistant.stream(asked[index].messages, **options) as stream:
            for _ in stream:
                pieces.append(time.perf_counter())
            answer = stream.answer
        assert answer.usage.completion_tokens == NUM_NEW, answer
        exchange = Exchange(
            kind="image",
            due=due,
            began=began,
            ended=pieces[-1],
            pieces=tuple(pieces),
            num_tokens=NUM_NEW,
        )
        answers[index] = exchange, answer.text

    threads = [threading.Thread(target=client, args=(index,)) for index in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [answers[index] for index in range(len(asked))]


def _by_class(model: Any, tokenizer: Any, asked: Sequence[Asked]) -> Answered:
    """One request after the other."""
    start = time.perf_counter()
    answers: Answered = []
    for index, each in enumerate(asked):
        due = start + index * STAGGER_S
        sleep_until(due)
        moments, began = Moments(), time.perf_counter()
        ids = model.generate(
            **each.inputs,
            max_new_tokens=NUM_NEW,
            do_sample=False,
            pad_token_id=0,
            streamer=moments,
        )
        new = ids[0, each.inputs["input_ids"].shape[1] :]
        text = tokenizer.decode(new, skip_special_tokens=True)
        answers.append((exchange_of(due, began, moments.found, None), text))
    return answers


def main() -> None:
    """Measure, show the table, and write the figures."""
    run_in_rounds("Compare an imported model with its class.", imported, num_turns)


if __name__ == "__main__":
    main()
