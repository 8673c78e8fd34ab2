"""Small data sets in the shapes that are published, with media that can be decoded.

Each function writes one into a folder and returns the data entry of a recipe that reads it.
"""

import base64
import csv
import io
import json
import math
import tarfile
import wave
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

Entry = dict[str, Any]
COLOURS = [(220, 30, 30), (30, 200, 40), (30, 40, 220)]
UID = "0a1b2c3d-0000-4000-8000-000000000001"


@cache
def png(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), COLOURS[number % 3]).save(file, "png")
    return file.getvalue()


@cache
def wav(number: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        waves = (math.sin(i * (number + 1) / 20) for i in range(16_000))
        sound.writeframes(b"".join(int(9000 * w).to_bytes(2, "little", signed=True) for w in waves))
    return file.getvalue()


def write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def write_json(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def mimicit(folder: Path) -> Entry:
    triplets = {
        "LA_INS_1": {
            "instruction": "What colour is it?",
            "answer": "Red.",
            "image_ids": ["LA_IMG_1"],
            "rel_ins_ids": [],
        },
        "LA_INS_2": {
            "instruction": "And this one?",
            "answer": "Green.",
            "image_ids": ["LA_IMG_1", "LA_IMG_2"],
            "rel_ins_ids": ["LA_INS_1"],
        },
    }
    write_json(folder / "LA_instructions.json", {"meta": {"version": "0.0.1"}, "data": triplets})
    # The alphabet of URLs, as part of the published files has it.
    images = {f"LA_IMG_{n}": base64.urlsafe_b64encode(png(n - 1)).decode() for n in (1, 2)}
    write_json(folder / "LA.json", images)
    return {"manifest": str(folder / "LA_instructions.json"), "format": "mimicit"}


IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def with_features(table: pa.Table, features: Mapping[str, Any]) -> pa.Table:
    known = json.dumps({"info": {"features": features}})
    return table.replace_schema_metadata({"huggingface": known})


def pictures(numbers: Sequence[int]) -> pa.Table:
    """As `datasets` writes an image, a question and the number of its answer."""
    columns = {
        "picture": pa.array([{"bytes": png(n), "path": f"{n}.png"} for n in numbers], IMAGE),
        "question": pa.array([f"Which colour has picture {n}?" for n in numbers]),
        "answer": pa.array(numbers, pa.int64()),
    }
    return with_features(
        pa.table(columns),
        {
            "picture": {"_type": "Image"},
            "question": {"dtype": "string", "_type": "Value"},
            "answer": {"names": ["red", "green", "blue"], "_type": "ClassLabel"},
        },
    )


def hf_saved(folder: Path) -> Entry:
    """What `DatasetDict.save_to_disk` leaves."""
    write_json(folder / "dataset_dict.json", {"splits": ["train", "test"]})
    for split, numbers in {"train": [0, 1, 2], "test": [2]}.items():
        (folder / split).mkdir()
        name = "data-00000-of-00001.arrow"
        table = pictures(numbers)
        sink = pa.OSFile(str(folder / split / name), "wb")
        with sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
        state = {"_data_files": [{"filename": name}], "_split": split}
        write_json(folder / split / "state.json", state)
        write_json(folder / split / "dataset_info.json", {"features": {}})
    return {"manifest": str(folder), "format": "hf", "split": "train"}


def hf_parquet(folder: Path) -> Entry:
    """As on the Hub: shards by split."""
    (folder / "data").mkdir()
    for number, rows in enumerate(([0, 1], [2])):
        pq.write_table(pictures(rows), folder / f"data/train-{number:05}-of-00002.parquet")
    pq.write_table(pictures([1]), folder / "data/test-00000-of-00001.parquet")
    return {"manifest": str(folder), "format": "hf", "split": "train"}


def webdataset(folder: Path) -> Entry:
    for shard in range(2):
        members = {}
        for number in range(shard * 2, shard * 2 + 2):
            members[f"{number:05}.png"] = png(number)
            members[f"{number:05}.txt"] = f"Picture {number}\n".encode()
        write_tar(folder / f"pictures-{shard:06}.tar", members)
    return {"manifest": str(folder / "pictures-{000000..000001}.tar"), "format": "webdataset"}


def audiocaps(folder: Path) -> Entry:
    rows = [
        [91139, "r1nicOVtvkQ", 130, "A woman talks nearby as water pours"],
        [58146, "sDSppXIlJrs", 27, "Multiple clanging and clanking sounds"],
        [11542, "7fmOlUlwoNg", 0, "Constant rattling noise, with sharp vibrations"],
    ]
    header = ["audiocap_id", "youtube_id", "start_time", "caption"]
    table = write_table(folder / "train.csv", header, rows)
    (folder / "sounds").mkdir()
    for number, name in enumerate(["r1nicOVtvkQ_130.wav", "YsDSppXIlJrs.wav", "7fmOlUlwoNg.wav"]):
        (folder / "sounds" / name).write_bytes(wav(number))
    return {"manifest": str(table), "format": "audiocaps", "media": str(folder / "sounds")}


def clotho(folder: Path) -> Entry:
    names = ["Distorted AM Radio noise.wav", "Paper_Parchment_Rustling.wav"]
    rows = [[name, *(f"{name[:5]} is heard, said person {n}" for n in range(5))] for name in names]
    header = ["file_name", *(f"caption_{n}" for n in range(1, 6))]
    table = write_table(folder / "clotho_captions_development.csv", header, rows)
    for number, name in enumerate(names):
        (folder / name).write_bytes(wav(number))
    return {"manifest": str(table), "format": "clotho"}


def audioset(folder: Path) -> Entry:
    labels = [
        [0, "/m/09x0r", "Speech"],
        [1, "/m/05zppz", "Male speech, man speaking"],
        [137, "/m/04rlf", "Music"],
    ]
    header = ["index", "mid", "display_name"]
    write_table(folder / "class_labels_indices.csv", header, labels)
    table = folder / "balanced_train_segments.csv"
    table.write_text(
        "# Segments csv created Sun Mar  5 10:54:31 2017\n"
        "# num_ytids=2, num_segs=2, num_unique_labels=3, num_positive_labels=3\n"
        "# YTID, start_seconds, end_seconds, positive_labels\n"
        '--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/m/05zppz"\n'
        '--ZhevVpy1s, 50.000, 60.000, "/m/04rlf"\n'
    )
    (folder / "--PJHxphWEs.wav").write_bytes(wav(0))
    (folder / "Y--ZhevVpy1s_50.000.wav").write_bytes(wav(1))
    return {"manifest": str(table), "format": "audioset"}


def narration(time: float, text: str, number: int) -> dict[str, Any]:
    return {
        "timestamp_sec": time,
        "timestamp_frame": int(time * 30),
        "narration_text": text,
        "annotation_uid": f"note-{number}",
    }


def ego4d(folder: Path) -> Entry:
    """Twelve seconds of motion at 50 Hz, and what was narrated meanwhile."""
    lines = ["canonical_timestamp_ms,gyro_x,gyro_y,gyro_z,accl_x,accl_y,accl_z"]
    for i in range(12 * 50 + 1):
        lines.append(f"{i * 20}.0,0.1,0.2,{i / 1000},0.3,9.8,{math.sin(i / 9):.4f}")
    (folder / f"{UID}.csv").write_text("\n".join(lines) + "\n")
    first = [
        narration(1.5, "#C C picks up a #unsure.", 1),
        narration(6.7, "#O a man X walks around", 2),
        narration(6.9, "#C C Walks around the room", 3),
    ]
    second = [narration(11.8, "#C C looks around", 4)]
    passes = {"narration_pass_1": first, "narration_pass_2": second}
    videos = {UID: {name: {"narrations": notes, "summaries": []} for name, notes in passes.items()}}
    return {"manifest": str(write_json(folder / "narration.json", videos)), "format": "ego4d"}


def folder_with_table(folder: Path) -> Entry:
    header = ["file_name", "text"]
    write_table(folder / "metadata.csv", header, [["0.png", "A red, plain square"], ["1.png", "x"]])
    for number in range(2):
        (folder / f"{number}.png").write_bytes(png(number))
    return {"manifest": str(folder), "format": "folder"}


def folder_with_labels(folder: Path) -> Entry:
    for label in ("green", "red"):
        (folder / label).mkdir()
        (folder / label / "1.wav").write_bytes(wav(1))
    return {"manifest": str(folder), "format": "folder"}


EXAMPLES: dict[str, Callable[[Path], Entry]] = {
    function.__name__: function
    for function in (
        *(mimicit, hf_saved, hf_parquet, webdataset, audiocaps, clotho, audioset, ego4d),
        *(folder_with_table, folder_with_labels),
    )
}
