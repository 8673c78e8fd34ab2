import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from anymal.data.rows import Rows
from anymal.errors import DataError
from anymal.recipe.data_entry import DataRecipe
from anymal.recipe.prompts import PROMPTS
from anymal.recipe.schema import Recipe
from train.data import sources
from train.data.sources import Source, open_data


def conversation(answer: str = "Yes.", **extra: object) -> dict[str, object]:
    return {
        "messages": [
            {"role": "user", "content": "Is it?"},
            {"role": "assistant", "content": answer},
        ],
        **extra,
    }


def write(path: Path, rows: list[object]) -> Path:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def test_manifest_reads_rows_lazily_and_skips_blank_lines(tmp_path: Path) -> None:
    rows = [conversation("one"), "", conversation("zwei \u00fc"), "  ", conversation("three")]
    manifest = open_one(manifest=str(write(tmp_path / "a.jsonl", rows)))
    assert len(manifest.records) == 3
    assert manifest.records[1]["messages"][1]["content"] == "zwei \u00fc"
    assert manifest.records[2] == conversation("three")
    assert [manifest.where(i).rpartition(":")[2] for i in range(3)] == ["1", "3", "5"]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("{not json", "not valid JSON"),
        ([1, 2], "a record is an object, not list"),
        ({"conversations": []}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "content"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "role"),
        ({"messages": [{"role": "user", "content": "x"}]}, "nothing to learn"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "gone.png"}}],
                    },
                    {"role": "assistant", "content": "x"},
                ]
            },
            "'gone.png' does not exist",
        ),
    ],
)
def test_a_bad_row_is_named_by_file_and_number(tmp_path: Path, row: object, says: str) -> None:
    path = write(tmp_path / "bad.jsonl", [conversation(), "", row])
    source = open_one(manifest=str(path))  # which only finds the rows
    source.read(0)
    with pytest.raises(DataError) as caught:
        source.read(1)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert says in str(caught.value)


@pytest.mark.parametrize("rows", [[], ["", " "]])
def test_an_empty_manifest_is_refused(tmp_path: Path, rows: list[object]) -> None:
    with pytest.raises(DataError, match="has no rows"):
        open_one(manifest=str(write(tmp_path / "empty.jsonl", rows)))


def test_a_missing_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        open_one(manifest=str(tmp_path / "none.jsonl"))


def open_one(**entry: object) -> Source:
    """Open one entry through a recipe."""
    stage = {
        "name": "s",
        "kind": "align",
        "data": [entry],
        "steps": 1,
        "batch_size": 1,
        "lr": 1.0,
    }
    model = {
        "llm": {"path": "x"},
        "modalities": {"image": {"encoder": {"kind": "vision", "path": "x"}}},
    }
    recipe = Recipe.model_validate({"run_dir": "x", "model": model, "stages": [stage]})
    (data,) = open_data(recipe)
    assert data.heldout == []
    return data.training[0]


@pytest.fixture
def module() -> Iterator[types.ModuleType]:
    made = types.ModuleType("made_up_sources")
    made.numbers = lambda size=2: [conversation(str(i)) for i in range(size)]
    made.nothing = list
    made.generator = lambda: iter([])
    made.wrong = lambda: [{"text": "no messages"}]
    sys.modules[made.__name__] = made
    yield made
    del sys.modules[made.__name__]


@pytest.mark.usefixtures("module")
def test_a_python_source_is_called_with_its_args() -> None:
    source = open_one(source="made_up_sources:numbers", args={"size": 5}, weight=2.0)
    assert len(source.records) == 5
    assert source.weight == 2.0
    assert source.name == "numbers"
    assert source.read(4).messages[1].content == "4"
    assert source.where(4) == "made_up_sources:numbers[4]"


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize(
    ("source", "args", "says"),
    [
        ("made_up_sources", {}, "must look like"),
        ("no_such_module:f", {}, "No module named 'no_such_module'"),
        ("made_up_sources:numbrs", {}, "has no function 'numbrs'; it has"),
        ("made_up_sources:numbers", {"sise": 5}, "it accepts (size=2)"),
        ("made_up_sources:nothing", {}, "returned no records"),
        ("made_up_sources:generator", {}, "must return a sequence"),
    ],
)
def test_a_wrong_python_source_is_explained(
    source: str, args: dict[str, object], says: str
) -> None:
    with pytest.raises(DataError) as caught:
        open_one(source=source, args=args)
    assert says in str(caught.value)


@pytest.mark.usefixtures("module")
def test_a_wrong_record_of_a_source_is_named_when_read() -> None:
    source = open_one(source="made_up_sources:wrong")
    with pytest.raises(DataError, match=r"^made_up_sources:wrong\[0\]: 'text' is not understood"):
        source.read(0)


def test_what_two_stages_name_is_opened_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.jsonl", [conversation()])
    opened = []
    real = sources.open_rows

    def count(entry: DataRecipe) -> Rows:
        opened.append(entry.manifest)
        return real(entry)

    monkeypatch.setattr(sources, "open_rows", count)
    entry = {"manifest": str(path)}
    stage = {
        "kind": "align",
        "data": [entry, {**entry, "weight": 3.0}],
        "heldout": [entry],
        "steps": 1,
        "batch_size": 1,
        "lr": 1.0,
    }
    recipe = Recipe.model_validate(
        {
            "run_dir": "x",
            "model": {
                "llm": {"path": "x"},
                "modalities": {"image": {"encoder": {"kind": "vision", "path": "x"}}},
            },
            "stages": [{"name": "a", **stage}, {"name": "b", **stage}],
        }
    )
    data = open_data(recipe)
    assert [source.weight for source in data[1].training] == [1.0, 3.0]
    assert opened == [str(path)]
    assert data[0].training[0].records is data[1].heldout[0].records


def test_a_prompt_makes_conversations_of_plain_rows(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    row = {"image": "a.png", "text": "A dog."}
    rows = [row, {"image": "a.png", "caption": "A dog."}, row | {"image": "b.png"}]
    path = write(tmp_path / "a.jsonl", rows)
    source = open_one(manifest=str(path), prompt="describe_image")
    assert source.records[0] == PROMPTS["describe_image"].conversation(row)
    with pytest.raises(DataError, match=r"a\.jsonl:2: .*missing: text; unknown: caption"):
        source.read(1)
    with pytest.raises(DataError, match=r"a\.jsonl:3: 'b\.png' does not exist"):
        source.read(2)


def test_a_format_and_its_licence_reach_a_source(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").touch()
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A dog."}]
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"image": "a.png", "conversations": turns}]))
    media = str(tmp_path / "pictures")
    source = open_one(manifest=str(path), format="llava", media=media, licence="CC-BY-4.0")
    assert source.read(0).messages[1].content == "A dog."
    assert (source.licence, source.where(0)) == ("CC-BY-4.0", f"{path}:1")


def test_the_suffix_of_a_recipe_ends_the_questions_of_its_manifest(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [conversation()])
    asked = open_one(manifest=str(path), suffix="short").read(0).messages[0].content
    assert asked == "Is it?\nAnswer the question using a single word or phrase."
    row = {"image": "a.png", "text": "A dog."}
    (tmp_path / "a.png").touch()
    rows = write(tmp_path / "b.jsonl", [row])
    source = open_one(manifest=str(rows), prompt="describe_image", suffix="region")
    asked = source.read(0).messages[1].content
    assert asked == "Describe the image.\nProvide a short description for this region."


def test_the_prompt_of_a_recipe_reaches_its_manifest(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    path = write(tmp_path / "a.jsonl", [{"image": "a.png", "text": "A dog."}])
    [_, user, answer] = open_one(manifest=str(path), prompt="describe_image").read(0).messages
    assert (user.content, answer.content) == ("Describe the image.", "A dog.")
