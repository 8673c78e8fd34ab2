"""Import, export and import again: the same records, the same media."""

import json
from pathlib import Path
from typing import Any

import pytest

from anymal.data.exporting.export import To, export_rows
from anymal.data.importing import Written, import_rows, import_to_archives
from anymal.data.registry import open_rows
from anymal.data.rows import Rows
from anymal.errors import DataError
from anymal.recipe.data_entry import DataRecipe
from tests.anymal.data.examples import EXAMPLES, png, wav

WITH_READERS: list[To] = ["llava", "sharegpt", "swift", "hf"]


def part(kind: str, **body: Any) -> dict[str, Any]:
    return {"type": kind, kind: body}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


RICH = [
    {
        "id": "all",
        "messages": [
            {"role": "system", "content": [text("Here: "), part("image_url", url="1.png")]},
            {
                "role": "user",
                "content": [
                    *(text("\nLook at "), part("image_url", url="1.png"), text(" and ")),
                    *(
                        part("audio_url", url="1.wav"),
                        part("image_url", url="2.png"),
                        text("\n\n?"),
                    ),
                ],
            },
            {"role": "assistant", "content": "So far, nothing.", "loss": False},
            {
                "role": "user",
                "content": [
                    part("input_imu", url="m.csv", rate_hz=50.0, acceleration_unit="g"),
                    part("input_imu", samples=[[0.0, 0.5, 9.8]] * 3, rate_hz=50.0),
                    text("And now? \u00e9"),
                ],
            },
            {"role": "assistant", "content": "Still nothing.\n"},
        ],
        "meta": {"task": "t", "choices": ["a", "b"], "answer": "a"},
    },
    {
        "messages": [
            {"role": "user", "content": "No medium."},
            {"role": "assistant", "content": "Right."},
        ]
    },
]


def manifest(folder: Path, records: list[dict[str, Any]]) -> Rows:
    folder.mkdir(exist_ok=True)
    (folder / "1.png").write_bytes(png(1))
    (folder / "2.png").write_bytes(png(2))
    (folder / "1.wav").write_bytes(wav(1))
    (folder / "m.csv").write_text("ax,ay,az\n0,0,1\n0,0,1\n")
    path = folder / "m.jsonl"
    path.write_text("\n".join(json.dumps(record) for record in records))
    return open_rows(DataRecipe(manifest=str(path)))


def read(written: Written, format: str = "anymal", **more: Any) -> Rows:
    media = written.media and str(written.media)
    entry = {"manifest": str(written.manifest), "format": format, "media": media}
    return open_rows(DataRecipe(**(entry | more)))


def records_of(rows: Rows) -> list[Any]:
    return [dict(rows[n]) for n in range(len(rows))]


def exported(rows: Rows, folder: Path, to: To, **more: Any) -> Rows:
    """Written in another format and opened again."""
    written = export_rows(rows, folder, to=to, **more)
    return read(written, to, split="data" if to == "sharegpt" else None)


@pytest.mark.parametrize(
    ("name", "to"),
    [
        *(("rich", to) for to in WITH_READERS),
        *((name, WITH_READERS[number % 4]) for number, name in enumerate(EXAMPLES)),
    ],
)
def test_import_export_import_is_equal(tmp_path: Path, name: str, to: To) -> None:
    (tmp_path / "original").mkdir()
    if name == "rich":
        rows = manifest(tmp_path / "original", RICH)
    else:
        rows = open_rows(DataRecipe(**EXAMPLES[name](tmp_path / "original")))
    first = read(import_rows(rows, tmp_path / "first", copy_media=True))
    again = exported(first, tmp_path / "exported", to)
    second = read(import_rows(again, tmp_path / "second", copy_media=True))
    assert records_of(second) == records_of(first)
    media = [sorted((tmp_path / which / "media").iterdir()) for which in ("first", "second")]
    assert [[(path.name, path.read_bytes()) for path in paths] for paths in media] == [
        [(path.name, path.read_bytes()) for path in media[0]]
    ] * 2


@pytest.mark.parametrize("to", ["llava", "sharegpt", "swift"])
def test_paths_stay_where_media_are_not_copied(tmp_path: Path, to: To) -> None:
    rows = manifest(tmp_path / "original", RICH)
    again = exported(rows, tmp_path / "exported", to)
    assert records_of(again) == RICH
    assert again.base_dir == tmp_path / "original"
    written = import_rows(again, tmp_path / "imported")
    assert written.media == tmp_path / "original"
    assert records_of(read(written)) == RICH
    assert not (tmp_path / "imported" / "media").exists()


def test_archives_are_read_as_webdataset(tmp_path: Path) -> None:
    rows = manifest(tmp_path / "original", RICH * 3)
    written = import_to_archives(rows, tmp_path / "tar", shard_bytes=10_000)
    assert written.manifest.name == "data-{000000..000003}.tar"
    first = read(import_rows(rows, tmp_path / "first", copy_media=True))
    again = read(import_rows(read(written, "webdataset"), tmp_path / "again"))
    assert records_of(again) == records_of(first)


def test_words_are_joined_and_inline_media_become_files(tmp_path: Path) -> None:
    record = {
        "messages": [
            {
                "role": "user",
                "content": [
                    *(text("a"), text("b"), part("image_url", url="1.png", detail="low")),
                    *(text(" \n"), part("input_audio", data="UklGRgAAAABXQVZF", format="wav")),
                ],
            },
            {"role": "assistant", "content": [text("c"), text("d")]},
        ]
    }
    written = import_rows(manifest(tmp_path / "a", [record]), tmp_path / "b", copy_media=True)
    found = json.loads(written.manifest.read_text())
    words, image, sound = found["messages"][0]["content"]
    assert (words, found["messages"][1]["content"]) == (text("ab"), "cd")
    assert set(image["image_url"]) == {"url"}
    assert (tmp_path / "b" / sound["audio_url"]["url"]).read_bytes() == b"RIFF\0\0\0\0WAVE"


def test_files_and_media_inside_rows_need_copies(tmp_path: Path) -> None:
    inside = part("input_audio", data="UklGRgAAAABXQVZF", format="wav")
    record = {"messages": [{"role": "user", "content": [part("image_url", url="1.png"), inside]}]}
    rows = manifest(tmp_path / "a", [record])
    with pytest.raises(DataError, match=r"m.jsonl:1: .* copy these too, with --copy-media"):
        import_rows(rows, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    rows = manifest(tmp_path / "a", RICH)
    with pytest.raises(DataError, match="is not empty"):
        import_rows(rows, tmp_path / "a")
    assert (tmp_path / "a" / "m.jsonl").exists()


@pytest.mark.parametrize("to", WITH_READERS[:3])
def test_words_that_look_like_a_placeholder_are_refused(tmp_path: Path, to: To) -> None:
    record = {"messages": [{"role": "user", "content": "Write <image> here."}]}
    rows = manifest(tmp_path / "a", [record])
    with pytest.raises(DataError, match=r"m.jsonl:1: '<image>' stands among the words"):
        export_rows(rows, tmp_path / "b", to=to)


def test_evalscope_asks_up_to_the_last_answer(tmp_path: Path) -> None:
    asked = [
        {"role": "user", "content": [part("image_url", url="1.png"), text("Colour?")]},
        {"role": "assistant", "content": "It is green."},
        {"role": "user", "content": [part("audio_url", url="1.wav"), text("Sound?")]},
    ]
    answer = {"role": "assistant", "content": "A tone.", "loss": True}
    meta = {"answer": "tone"}
    records = [{"messages": [*asked, answer], "meta": meta}, {"messages": asked, "meta": meta}]
    rows = manifest(tmp_path / "a", records)
    written = export_rows(rows, tmp_path / "b", to="evalscope")
    first, second = map(json.loads, written.manifest.read_text().splitlines())
    assert (first["answer"], second["answer"]) == ("A tone.", "tone")
    assert first["messages"] == second["messages"]
    image, sound = first["messages"][0]["content"][0], first["messages"][2]["content"][0]
    assert image == part("image_url", url=str(tmp_path / "a" / "1.png"))
    assert sound == part("input_audio", data=str(tmp_path / "a" / "1.wav"), format="wav")


def test_evalscope_gets_files_of_media_inside_rows(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    rows = open_rows(DataRecipe(**EXAMPLES["hf_parquet"](tmp_path / "a")))
    written = export_rows(rows, tmp_path / "b", to="evalscope")
    first = json.loads(written.manifest.read_text().splitlines()[0])
    path = Path(first["messages"][0]["content"][0]["image_url"]["url"])
    assert path.parent == tmp_path / "b" / "media"
    assert path.read_bytes() == png(0)


@pytest.mark.parametrize("bad", [part("input_imu", url="m.csv"), part("video_url", url="1.mkv")])
def test_evalscope_refuses_what_it_cannot_take(tmp_path: Path, bad: dict[str, Any]) -> None:
    messages = [{"role": "user", "content": [bad]}, {"role": "assistant", "content": "x"}]
    with pytest.raises(DataError, match=r"m.jsonl:1: EvalScope takes no"):
        export_rows(
            manifest(tmp_path / "a", [{"messages": messages}]), tmp_path / "b", to="evalscope"
        )
