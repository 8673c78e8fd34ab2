"""Our ids of whole conversations against a processor class of transformers, media decoded."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil, LlavaProcessor

from anymal.chat.template import build_template
from anymal.processor import ModalityInput, Processor
from anymal.sample import SLOT_ID
from tests.anymal.chat.test_published_templates import SHAPES, spaced

RED, BLUE = (255, 0, 0), (0, 0, 255)
SIDE, PATCH = 28, 14


def first_pixel(signal: Any) -> dict[str, torch.Tensor]:
    return {"pixel": torch.tensor(signal.pixels[:1, 0])}


@pytest.mark.parametrize("scheme", ["first", "always"])
def test_ids_are_those_of_the_processor_of_llava(
    scheme: str, talk: Callable[..., dict[str, Any]]
) -> None:
    tokenizer = spaced(scheme)
    theirs = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"height": SIDE, "width": SIDE}, do_center_crop=False
        ),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=SHAPES["llava"][0],
    )
    tokenizer.chat_template = SHAPES["llava"][0]
    inputs = ModalityInput(
        preprocessor=first_pixel, num_tokens=(SIDE // PATCH) ** 2, prefix="", suffix=""
    )
    ours = Processor(
        tokenizer=tokenizer,
        template=build_template("tokenizer", tokenizer, modalities=("image",)),
        modalities={"image": inputs},
        max_tokens=300,
    )
    record = talk("What is this?", "A dog.", images=[RED])
    record["messages"] += talk("And this?", images=[BLUE, RED])["messages"]
    sample = ours(record, generate=True)

    pictures = iter([Image.new("RGB", (SIDE, SIDE), colour) for colour in (RED, BLUE, RED)])
    messages = [
        {
            "role": message["role"],
            "content": [
                part if part["type"] == "text" else {"type": "image", "image": next(pictures)}
                for part in _parts(message["content"])
            ],
        }
        for message in record["messages"]
    ]
    found = theirs.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True
    )
    marker = tokenizer.convert_tokens_to_ids("<image>")
    (expected,) = found["input_ids"]
    assert [marker if i == SLOT_ID else i for i in sample.ids.tolist()] == list(expected)
    assert len(sample.slots) == 3


def _parts(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content
