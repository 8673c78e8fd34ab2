"""The benchmarks that `anymal eval --suite NAME --data DIR` knows, and how each is laid out.

Does not read files; a benchmark's module is imported when it is asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from anymal.errors import DataError
from anymal.evaluation.benchmarks.folder import Folder
from anymal.evaluation.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One benchmark.

    Attributes:
        source: `module:function` of this package.
        note: What is asked, about what.
        layout: What its folder holds, one file or folder each.
        options: Of the function.
        has_captions: Whether captions are measured, for which Java brings more metrics.
    """

    source: str
    note: str
    layout: Sequence[str]
    options: Mapping[str, Any] = field(default_factory=dict)
    has_captions: bool = False


def _coco(annotations: str, images: str, note: str) -> Benchmark:
    return Benchmark(
        source="pictures:coco",
        note=note,
        layout=(annotations, f"{images}/  the pictures"),
        options={"annotations": annotations, "images": images},
        has_captions=True,
    )


def _karpathy(annotations: str, images: str, pictures: str, note: str) -> Benchmark:
    return Benchmark(
        source="pictures:karpathy",
        note=note,
        layout=(annotations, pictures),
        options={"annotations": annotations, "images": images},
        has_captions=True,
    )


def _vqa(questions: str, annotations: str, note: str) -> Benchmark:
    return Benchmark(
        source="visual_questions:vqa",
        note=note,
        layout=(questions, annotations, "val2014/COCO_val2014_000000000000.jpg  the pictures"),
        options={"questions": questions, "annotations": annotations},
    )


BENCHMARKS: Mapping[str, Benchmark] = {
    "coco": _coco(
        "annotations/captions_val2017.json", "val2017", "COCO captions, validation set of 2017"
    ),
    "coco2014": _coco(
        "annotations/captions_val2014.json", "val2014", "COCO captions, validation set of 2014"
    ),
    "coco-karpathy": _karpathy(
        "dataset_coco.json",
        ".",
        "val2014/COCO_val2014_000000000000.jpg  the pictures, as `filepath` says",
        "COCO captions, Karpathy's test split",
    ),
    "flickr30k": _karpathy(
        "dataset_flickr30k.json",
        "flickr30k-images",
        "flickr30k-images/  the pictures",
        "Flickr30k captions, Karpathy's test split",
    ),
    "nocaps": _coco("nocaps_val_4500_captions.json", "val", "NoCaps captions, validation set"),
    "vqav2": _vqa(
        "v2_OpenEnded_mscoco_val2014_questions.json",
        "v2_mscoco_val2014_annotations.json",
        "VQAv2, validation set",
    ),
    "okvqa": _vqa(
        "OpenEnded_mscoco_val2014_questions.json",
        "mscoco_val2014_annotations.json",
        "OK-VQA, validation set",
    ),
    "textvqa": Benchmark(
        source="visual_questions:textvqa",
        note="TextVQA, validation set",
        layout=("TextVQA_0.5.1_val.json", "train_images/  the pictures, those for validation too"),
    ),
    "vizwiz": Benchmark(
        source="visual_questions:vizwiz",
        note="VizWiz, validation set",
        layout=("annotations/val.json, or val.json", "val/  the pictures"),
    ),
    "scienceqa": Benchmark(
        source="picture_choices:scienceqa",
        note="ScienceQA, test set",
        layout=("problems.json", "pid_splits.json", "test/1/image.png  the pictures, by problem"),
    ),
    "hateful-memes": Benchmark(
        source="picture_choices:hateful_memes",
        note="Hateful Memes, development set",
        layout=("dev_seen.jsonl, or dev.jsonl", "img/  the pictures"),
    ),
    "audiocaps": Benchmark(
        source="sounds:audiocaps",
        note="AudioCaps, test set",
        layout=(
            "test.csv",
            "audio/YOUTUBEID.wav  the sounds; YYOUTUBEID.wav, YOUTUBEID_START.wav and other "
            "endings are found too",
        ),
        has_captions=True,
    ),
    "clotho": Benchmark(
        source="sounds:clotho",
        note="Clotho, evaluation split",
        layout=("clotho_captions_evaluation.csv", "evaluation/  the sounds"),
        has_captions=True,
    ),
    "nextqa": Benchmark(
        source="videos:nextqa",
        note="NExT-QA with options, validation set",
        layout=("val.csv", "map_vid_vidorID.json", "videos/1164/3238737531.mp4  as VidOR has them"),
    ),
    "star": Benchmark(
        source="videos:star",
        note="STAR, validation set",
        layout=("STAR_val.json", "videos/6H78U.mp4  Charades' videos"),
    ),
    "how2qa": Benchmark(
        source="videos:how2qa",
        note="How2QA, validation set",
        layout=(
            "how2QA_val_release.csv",
            "videos/YOUTUBEID.mp4  whole, or clips of a minute: videos/YOUTUBEID_60_120.mp4",
        ),
    ),
    "msvdqa": Benchmark(
        source="videos:msvdqa",
        note="MSVD-QA, test set",
        layout=(
            "test_qa.json",
            "youtube_mapping.txt",
            "videos/YOUTUBEID_START_END.avi  as YouTubeClips has them",
        ),
    ),
    "ego4d": Benchmark(
        source="motion:ego4d",
        note="Ego4D, captions of head motion",
        layout=("imu_2000_cococap.json", "imu/VIDEOUID.csv  the recordings"),
        has_captions=True,
    ),
}


# Tasks whose questions have no medium.
TEXT_ONLY = frozenset({"scienceqa-text"})


def open_benchmark(name: str, data: Path | None, *, java: bool = False) -> list[Task]:
    """Open a benchmark from its official files.

    Args:
        name: A key of `BENCHMARKS`.
        data: Its folder, or one that holds a folder of that name.
        java: Whether to measure captions with what Java brings; see `metrics/java.py`.

    Returns:
        Its tasks.

    Raises:
        DataError: The folder is missing or laid out otherwise; the message shows how.
    """
    benchmark = BENCHMARKS[name]
    own = None if data is None else data / name
    path = own if own is not None and own.is_dir() else data
    folder = Folder(path=path or Path(), name=name, layout=benchmark.layout)
    if path is None:
        folder.fail("no folder given")
    if not path.is_dir():
        folder.fail(f"no folder {path}")
    module, _, function = benchmark.source.partition(":")
    more = {"java": java} if benchmark.has_captions else {}
    tasks: list[Task] = getattr(import_module(f"{__package__}.{module}"), function)(
        folder, note=benchmark.note, **more, **benchmark.options
    )
    if not tasks:
        raise DataError(f"{name}: no question is left in {path}")
    return tasks
