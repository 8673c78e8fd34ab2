"""Plain rows become the paper's conversations; what does not fit a prompt is named."""

import json

import pytest

from anymal.errors import ConversationError, RecipeError
from anymal.modality import MODALITIES
from anymal.protocol.conversation import read_conversation
from anymal.recipe.data_entry import DataRecipe
from anymal.recipe.prompts import PROMPTS
from anymal.recipe.section import parse_section


def test_the_papers_words_around_an_image() -> None:
    row = {"id": "7", "image": "a.jpg", "question": "what runs?", "text": "dog", "meta": {"k": 1}}
    assert PROMPTS["vqa"].conversation(row) == {
        "messages": [
            {
                "role": "system",
                "content": [
                    {
                        "type": "text",
                        "text": "You are a multimodal assistant, designed to provide helpful "
                        "answers to users' image-related questions. Reply directly with only one "
                        "phrase. Do not start your answer with 'Sure ...'. \n\n "
                        "Here is the image: ",
                    },
                    {"type": "image_url", "image_url": {"url": "a.jpg"}},
                ],
            },
            {"role": "user", "content": "In the image, what runs? Reply in one word."},
            {"role": "assistant", "content": "dog"},
        ],
        "id": "7",
        "meta": {"k": 1},
    }


def test_motion_keeps_its_units_and_ends_the_system_message() -> None:
    medium = {"url": "walk.csv", "acceleration_unit": "g"}
    record = PROMPTS["imu"].conversation({"imu": medium, "text": "walks"})
    system = record["messages"][0]["content"]
    assert system[0]["text"].endswith("\n\n Here are the user's predicted motions: ")
    assert "Always answer under 30 words." in system[0]["text"]
    assert system[1] == {"type": "input_imu", "input_imu": medium}
    assert record["messages"][1]["content"] == "Describe this motion."


def test_an_answer_may_be_json_and_options_a_list() -> None:
    record = PROMPTS["caption"].conversation({"image": "a.jpg", "text": 'a "b"'})
    assert json.loads(record["messages"][-1]["content"]) == {"caption": 'a "b"'}
    assert '{"caption": "A man' in record["messages"][1]["content"]
    row = {"video": "a.mp4", "question": "Who {x}?", "options": ["he", "she"], "text": "she"}
    record = PROMPTS["video_choice"].conversation(row)
    assert record["messages"][1]["content"] == (
        "Who {x}? Select exactly one option from the following: he, she."
    )


@pytest.mark.parametrize("name", PROMPTS)
def test_every_prompt_makes_a_conversation_that_can_be_read(name: str) -> None:
    prompt = PROMPTS[name]
    row = dict.fromkeys((prompt.modality, "text", *prompt.fields), "word")
    conversation = read_conversation(prompt.conversation(row))
    system, user, answer = conversation.messages
    assert system.parts[-1].type in MODALITIES[prompt.modality].part_types
    assert [message.role for message in (system, user, answer)] == ["system", "user", "assistant"]
    written = "".join(part.text for part in user.parts if part.type == "text")
    assert written.count("word") == len(prompt.fields) + written.count("one word")
    assert prompt.source


def test_missing_and_unknown_keys_are_named() -> None:
    with pytest.raises(ConversationError, match="missing: question; unknown: caption"):
        PROMPTS["vqa"].conversation({"image": "a.jpg", "text": "x", "caption": "y"})


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"manifest": "a.jsonl", "prompt": "vqaa"}, "unknown prompt 'vqaa'; known: image"),
        ({"source": "a:b", "prompt": "vqa"}, "prompt belong to a manifest"),
    ],
)
def test_a_recipe_names_a_known_prompt_of_a_manifest(data: dict[str, str], says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        parse_section(DataRecipe, data, where="recipe")
