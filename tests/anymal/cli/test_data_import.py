"""`anymal data import` and `anymal data export`: options, what is said, and what is refused."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from anymal.cli import main
from anymal.errors import DataError
from tests.anymal.data import examples


def run(*words: object) -> str:
    done = CliRunner().invoke(main.app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return " ".join(done.stdout.split())


def captions(folder: Path) -> Path:
    rows = [["a.png", "Is it red?", "Yes."], ["b.png", "Is it blue?", "No."]]
    (folder / "a.png").write_bytes(examples.png(0))
    (folder / "b.png").write_bytes(examples.png(1))
    return examples.write_table(folder / "metadata.csv", ["file", "ask", "reply"], rows)


COLUMNS = ("--column", "file_name=file", "--column", "question=ask", "--column", "answer=reply")


def test_import_says_what_to_write_in_a_recipe(tmp_path: Path) -> None:
    table = captions(tmp_path)
    said = run("data", "import", table, "--format", "folder", *COLUMNS, "--out", tmp_path / "o")
    manifest = tmp_path / "o" / "manifest.jsonl"
    assert f"2 records; in a recipe: {{manifest: {manifest}, media: {tmp_path}}}" in said
    assert json.loads(manifest.read_text().splitlines()[1])["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "b.png"}},
                {"type": "text", "text": "Is it blue?"},
            ],
        },
        {"role": "assistant", "content": "No."},
    ]


def test_import_copies_media_or_packs_them(tmp_path: Path) -> None:
    table = captions(tmp_path)
    source = ("data", "import", table, "--format", "folder", *COLUMNS)
    said = run(*source, "--copy-media", "--out", tmp_path / "o")
    assert said.endswith(f"{{manifest: {tmp_path}/o/manifest.jsonl}}")
    assert len(list((tmp_path / "o" / "media").iterdir())) == 2
    said = run(*source, "--tar", "--out", tmp_path / "t")
    assert f"{{manifest: {tmp_path}/t/data-000000.tar, format: webdataset}}" in said
    with pytest.raises(DataError, match="leave --copy-media out"):
        run(*source, "--tar", "--copy-media", "--out", tmp_path / "u")


def test_export_names_the_folder_of_the_media(tmp_path: Path) -> None:
    table = captions(tmp_path)
    source = ("data", "export", table, "--format", "folder", *COLUMNS, "--to", "llava")
    said = run(*source, "--out", tmp_path / "o")
    assert f"2 records: {tmp_path}/o/data.json its media are in {tmp_path};" in said
    first = json.loads((tmp_path / "o" / "data.json").read_text())[0]
    assert first == {
        "image": "a.png",
        "conversations": [
            {"from": "human", "value": "<image>\nIs it red?"},
            {"from": "gpt", "value": "Yes."},
        ],
    }


def test_a_column_has_two_names(tmp_path: Path) -> None:
    out = ("--out", tmp_path / "o")
    with pytest.raises(DataError, match="'answer' must look like answer=caption"):
        run("data", "import", captions(tmp_path), "--column", "answer", *out)
