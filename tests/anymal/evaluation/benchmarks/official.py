"""Small files in the official formats of the benchmarks, with empty files as media."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

COCO_JPG = "COCO_val2014_000000000042.jpg"


def media(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def as_json(root: Path, name: str, value: Any) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def as_csv(root: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    with (root / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def coco_like(images: list[dict[str, Any]], captions: Mapping[Any, list[str]]) -> dict[str, Any]:
    pairs = [(key, text) for key, texts in captions.items() for text in texts]
    return {
        "info": {},
        "licenses": [],
        "images": images,
        "annotations": [
            {"image_id": key, "id": number, "caption": text}
            for number, (key, text) in enumerate(pairs)
        ],
    }


def coco(root: Path, *, year: int = 2017, name: str = "000000000042.jpg") -> None:
    captions = {
        42: ["A dog runs on a beach.", "A brown dog near the sea."],
        7: ["Two cats sleep on a red sofa.", "Cats asleep."],
    }
    images = [
        {"id": 42, "file_name": name, "height": 4, "width": 6, "license": 1},
        {"id": 7, "file_name": "000000000007.jpg", "height": 4, "width": 6, "license": 1},
    ]
    as_json(root, f"annotations/captions_val{year}.json", coco_like(images, captions))
    media(root, f"val{year}/{name}", f"val{year}/000000000007.jpg")


def coco2014(root: Path) -> None:
    coco(root, year=2014, name=COCO_JPG)


def _karpathy(split: str, filename: str, *texts: str, **more: Any) -> dict[str, Any]:
    sentences = [
        {"raw": text, "tokens": text.lower().split(), "imgid": 0, "sentid": number}
        for number, text in enumerate(texts)
    ]
    return {"split": split, "filename": filename, "sentences": sentences, "imgid": 0, **more}


def coco_karpathy(root: Path) -> None:
    images = [
        _karpathy("train", "COCO_train2014_000000000001.jpg", "A tree.", filepath="train2014"),
        _karpathy("test", COCO_JPG, "A dog runs.", "A brown dog.", filepath="val2014", cocoid=42),
        _karpathy("test", "COCO_val2014_000000000007.jpg", "Two cats.", filepath="val2014"),
    ]
    as_json(root, "dataset_coco.json", {"dataset": "coco", "images": images})
    media(root, f"val2014/{COCO_JPG}", "val2014/COCO_val2014_000000000007.jpg")


def flickr30k(root: Path) -> None:
    images = [
        _karpathy("test", "1007129816.jpg", "The man wears a hat.", "A man with glasses."),
        _karpathy("test", "1009434119.jpg", "A black dog runs on grass."),
        _karpathy("val", "1.jpg", "Nobody."),
    ]
    as_json(root, "dataset_flickr30k.json", {"dataset": "flickr30k", "images": images})
    media(root, "flickr30k-images/1007129816.jpg", "flickr30k-images/1009434119.jpg")


def nocaps(root: Path) -> None:
    images = [
        {"id": 0, "file_name": "0013ea2087020901.jpg", "domain": "near-domain"},
        {"id": 1, "file_name": "001464cfae2a30b8.jpg", "domain": "out-domain"},
    ]
    captions = {0: ["A baby stands by a house."], 1: ["A lynx on snow.", "A wild cat in snow."]}
    as_json(root, "nocaps_val_4500_captions.json", coco_like(images, captions))
    media(root, "val/0013ea2087020901.jpg", "val/001464cfae2a30b8.jpg")


def ten(answer: str, other: str, times: int = 7) -> list[dict[str, Any]]:
    """Answers of ten people, as VQA has them."""
    return [
        {
            "answer": answer if number < times else other,
            "answer_confidence": "yes",
            "answer_id": number + 1,
        }
        for number in range(10)
    ]


def _vqa(root: Path, questions: str, annotations: str) -> None:
    asked = [
        {"image_id": 42, "question": "What color is the dog?", "question_id": 42001},
        {"image_id": 42, "question": "Is it raining?", "question_id": 42002},
    ]
    annotated = [
        {
            "question_id": number,
            "image_id": 42,
            "question_type": "what color is the",
            "answer_type": kind,
            "multiple_choice_answer": answer,
            "answers": ten(answer, "tan"),
        }
        # Not in the questions' order.
        for number, answer, kind in [(42002, "no", "yes/no"), (42001, "brown", "other")]
    ]
    as_json(root, questions, {"task_type": "Open-Ended", "questions": asked})
    as_json(root, annotations, {"data_type": "mscoco", "annotations": annotated})
    media(root, f"val2014/{COCO_JPG}")


def vqav2(root: Path) -> None:
    _vqa(
        root,
        "v2_OpenEnded_mscoco_val2014_questions.json",
        "v2_mscoco_val2014_annotations.json",
    )


def okvqa(root: Path) -> None:
    _vqa(root, "OpenEnded_mscoco_val2014_questions.json", "mscoco_val2014_annotations.json")


def textvqa(root: Path) -> None:
    row = {
        "question": "what is the brand of this camera?",
        "image_id": "003a8ae2ef43b901",
        "image_classes": ["Camera"],
        "question_id": 34602,
        "set_name": "val",
        "answers": ["dakota"] * 7 + ["dakota digital", "nokia", "digital"],
    }
    as_json(root, "TextVQA_0.5.1_val.json", {"dataset_type": "val", "data": [row]})
    media(root, "train_images/003a8ae2ef43b901.jpg")


def vizwiz(root: Path) -> None:
    row = {
        "answerable": 0,
        "image": "VizWiz_val_00000000.jpg",
        "question": "Ok. There is another picture I hope it is a better one.",
        "answer_type": "unanswerable",
        "answers": ten("unanswerable", "unsuitable"),
    }
    as_json(root, "annotations/val.json", [row])
    media(root, "val/VizWiz_val_00000000.jpg")


def scienceqa(root: Path) -> None:
    problem = {
        "question": "Which of these states is farthest north?",
        "choices": ["West Virginia", "Louisiana", "Arizona", "Oklahoma"],
        "answer": 0,
        "hint": "",
        "image": "image.png",
        "task": "closed choice",
        "grade": "grade2",
        "subject": "social science",
        "split": "test",
    }
    text_only = {**problem, "image": None, "subject": "language science", "hint": "Look north."}
    as_json(root, "problems.json", {"4": problem, "5": text_only, "6": problem})
    as_json(root, "pid_splits.json", {"train": ["6"], "val": [], "test": ["4", "5"]})
    media(root, "test/4/image.png")


def hateful_memes(root: Path) -> None:
    rows = [
        {"id": 8291, "img": "img/08291.png", "label": 1, "text": "a nasty sentence"},
        {"id": 46971, "img": "img/46971.png", "label": 0, "text": "good morning"},
    ]
    (root / "dev_seen.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    media(root, "img/08291.png", "img/46971.png")


def audiocaps(root: Path) -> None:
    rows = [
        {"audiocap_id": 1, "youtube_id": "vfY_TJq7n_U", "start_time": 130, "caption": "Rain falls"},
        {"audiocap_id": 2, "youtube_id": "vfY_TJq7n_U", "start_time": 130, "caption": "It rains"},
        {"audiocap_id": 3, "youtube_id": "gone", "start_time": 30, "caption": "A dog barks"},
        {"audiocap_id": 4, "youtube_id": "tdWhHV3X25Q", "start_time": 60, "caption": "Clapping"},
    ]
    as_csv(root, "test.csv", rows)
    media(root, "audio/vfY_TJq7n_U.wav", "audio/tdWhHV3X25Q_60.flac")


def clotho(root: Path) -> None:
    captions = {f"caption_{number}": f"Rain falls, take {number}" for number in range(1, 6)}
    as_csv(root, "clotho_captions_evaluation.csv", [{"file_name": "Santa Motor.wav", **captions}])
    media(root, "evaluation/Santa Motor.wav")


def nextqa(root: Path) -> None:
    row = {
        **{"video": 4010069381, "frame_count": 369, "width": 640, "height": 480},
        "question": "how do the two man play the instrument",
        **{"answer": 4, "qid": 6, "type": "CH"},
        **{"a0": "roll the handle", "a1": "tap their feet", "a2": "strum the string"},
        **{"a3": "hit with sticks", "a4": "pat with hand"},
    }
    as_csv(root, "val.csv", [row])
    as_json(root, "map_vid_vidorID.json", {"4010069381": "1164/4010069381"})
    media(root, "videos/1164/4010069381.mp4")


def star(root: Path) -> None:
    choices = ["The closet/cabinet.", "The blanket.", "The clothes.", "The table."]
    row = {
        "question_id": "Interaction_T1_13",
        "question": "Which object was tidied up by the person?",
        "video_id": "6H78U",
        "start": 11.1,
        "end": 19.6,
        "answer": "The clothes.",
        "choices": [{"choice_id": n, "choice": text} for n, text in enumerate(choices)],
        "situations": {},
    }
    as_json(root, "STAR_val.json", [row])
    media(root, "videos/6H78U.mp4")


def how2qa(root: Path) -> None:
    asked = "What is the color of the sheet they used to wrap the wooden box?"
    lines = [
        f"piYcgGdO8_w,[134.15:181.52],White,Grey,Red,{asked},Brown",
        "DQ6wpOD-h7g,[63.5:80.0],Powerpoint,Word,Access,What program is used?,Excel",
        "gone,[1.0:2.0],a,b,c,Which?,d",
    ]
    (root / "how2QA_val_release.csv").write_text("\n".join(lines) + "\n")
    media(root, "videos/piYcgGdO8_w.webm", "videos/DQ6wpOD-h7g_60_120.mp4")


def msvdqa(root: Path) -> None:
    row = {"answer": "man", "id": 30933, "question": "who is slicing a carrot?", "video_id": 1300}
    as_json(root, "test_qa.json", [row])
    (root / "youtube_mapping.txt").write_text("-4wsuPCjDBc_5_15 vid1\nxBePrplM4OA_6_18 vid1300\n")
    media(root, "videos/xBePrplM4OA_6_18.avi")


def ego4d(root: Path) -> None:
    window = {
        **{"id": 0, "file_name": "a-b-c_10_15", "video_uid": "a-b-c"},
        **{"window_start": 1, "window_end": 3},
    }
    as_json(root, "imu_2000_cococap.json", coco_like([window], {0: ["picks up a cup"]}))
    header = "canonical_timestamp_ms,gyro_x,gyro_y,gyro_z,accl_x,accl_y,accl_z\n"
    rows = [f"{ms},0.1,0.2,{ms / 1000},0.0,9.8,0.1\n" for ms in range(0, 5000, 50)]
    (root / "imu").mkdir()
    (root / "imu" / "a-b-c.csv").write_text(header + "".join(rows))


OFFICIAL: dict[str, Callable[[Path], None]] = {
    "coco": coco,
    "coco2014": coco2014,
    "coco-karpathy": coco_karpathy,
    "flickr30k": flickr30k,
    "nocaps": nocaps,
    "vqav2": vqav2,
    "okvqa": okvqa,
    "textvqa": textvqa,
    "vizwiz": vizwiz,
    "scienceqa": scienceqa,
    "hateful-memes": hateful_memes,
    "audiocaps": audiocaps,
    "clotho": clotho,
    "nextqa": nextqa,
    "star": star,
    "how2qa": how2qa,
    "msvdqa": msvdqa,
    "ego4d": ego4d,
}
