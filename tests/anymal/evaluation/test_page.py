import io
import re
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from anymal.evaluation.html.drawn import Drawn, draw
from anymal.evaluation.html.examples import Example, Examples, worst
from anymal.evaluation.html.page import write_page
from anymal.evaluation.intervals import Difference, wilson
from anymal.evaluation.metrics.base import Judged
from anymal.evaluation.results import Compared, Perturbed, Results, TaskResult
from anymal.evaluation.runner import evaluate
from encoders.signals import Audio, Image, Motion, Video

EVIL = """<script>alert("x")</script>'"><img src=x onerror=alert(1)>"""
CHANGE = Difference(mean=-0.05, low=-0.1, high=0.01)
ROW = TaskResult(
    name="digits & signs",
    note=EVIL,
    modalities=["input_audio"],
    score=wilson(93, 100),
    figures={"CIDEr-D (own tokens)": wilson(1, 2)},
    num_media=50,
    chance=0.1,
    prior=0.05,
    controls={"blank": wilson(9, 100), "without image": wilson(50, 100)},
    follows_donor=wilson(92, 100),
    share={"image": wilson(70, 100)},
    perturbed={"blur": Perturbed(score=wilson(88, 100), change=CHANGE)},
    hygiene={name: wilson(1, 100) for name in ("token_limit", "empty", "echo")},
    confusion={"digit": {"six": {"six": 40, "seven": 3, "(none)": 1}, "seven": {"seven": 56}}},
    breakdown={"six": wilson(40, 44)},
    words=["six", "seven"],
    example="",
    prompt=f"<s>[INST] <image: 16> {EVIL} [/INST]",
    target=89.0,
    reference=94.0,
    compared=Compared(score=wilson(50, 100), gain=Difference(mean=0.43, low=0.3, high=0.55)),
)
RESULTS = Results(
    bundle="tiny",
    digest="ab12",
    versions={"torch": "2.13.0"},
    compared_with="runs/other",
    settings={"limit": None, "seed": 0, "controls": ["blank"]},
    tasks=[ROW],
    skipped={"signs": "no data folder given"},
)
SOUND = Drawn(title="audio", picture="data:image/png;base64,AA==", sound="data:audio/wav;base64,BB")
EXAMPLE = Example(
    name="record-7",
    question=f"Which digit? {EVIL}",
    expected="seven",
    answer=EVIL,
    value=0.0,
    media=(SOUND,),
    note="",
)


class Page(HTMLParser):
    """Every tag, every attribute, and every text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def page(path: Path, **options: Any) -> str:
    write_page(RESULTS, path, **options)
    return path.read_text()


def test_page_loads_nothing(tmp_path: Path) -> None:
    text = page(tmp_path / "deep" / "r.html", examples={ROW.name: [EXAMPLE]})
    found = Page(text)
    assert found.links
    assert all(link.startswith(("data:", "#")) for link in found.links)
    assert "default-src 'none'" in text
    outside = EVIL  # whose text is escaped, and holds no address
    assert not re.search(r"https?:|url\(|@import|//\w", text.replace(outside, ""))
    assert {"script", "link", "iframe", "object", "embed", "base"}.isdisjoint(found.tags)


def test_words_of_models_and_data_are_escaped(tmp_path: Path) -> None:
    text = page(tmp_path / "r.html", examples={ROW.name: [EXAMPLE]})
    assert "<script" not in text
    assert "<img src=x" not in text
    words = "".join(Page(text).words)
    assert words.count(EVIL) == 4  # note, prompt, question and answer, as they are


def test_page_shows_every_figure(tmp_path: Path) -> None:
    words = " ".join("".join(Page(page(tmp_path / "r.html")).words).split())
    figures = (
        *("93.0 (86.3 to 96.6)", "50.0 (40.4 to 59.6)", "70.0 (60.4 to 78.1)"),
        *("-5.0 (-10.0 to +1.0)", "+43.0 (+30.0 to +55.0)", "ab12", "torch 2.13.0"),
        *("without image", "CIDEr-D (own tokens)", "no data folder given", "seven", "(none)"),
    )
    assert [figure for figure in figures if figure not in words] == []
    assert "were read from a file" in words


def test_old_figures_have_a_page(tmp_path: Path) -> None:
    row = TaskResult(
        **{"name": "old", "modalities": [], "score": wilson(1, 2), "chance": 0.5, "prior": 0.0},
        **{"controls": {}, "breakdown": {}, "words": [], "example": ""},
    )
    write_page(Results(bundle="old", settings={}, tasks=[row]), tmp_path / "r.html")
    assert "50.0 (9.5 to 90.5)" in (tmp_path / "r.html").read_text()


def test_card_of_the_built_in_model_stays_readable(tmp_path: Path) -> None:
    results = Results.read(Path(__file__).parents[3] / "docs" / "model-card.json")
    write_page(results, tmp_path / "r.html")
    assert results.tasks[0].metric == "right"


def test_examples_are_wrong_answers_with_their_media(colours: Any, tmp_path: Path) -> None:
    records = [colours.record(name, number=index) for index, name in enumerate(colours.names * 4)]
    assistant = colours.assistant(is_blind=True)
    examples = Examples(assistant.processor)
    results = evaluate(assistant, {"c": records}, controls=(), watch=examples.watch)
    found = examples.by_task["c"]
    assert [(one.name, one.expected, one.answer) for one in found] == [
        ("picture-1", "green", "red"),
        ("picture-2", "blue", "red"),
        ("picture-4", "green", "red"),
        ("picture-5", "blue", "red"),
    ]
    assert all(one.media[0].picture.startswith("data:image/png;base64,") for one in found)
    write_page(results, tmp_path / "r.html", examples=examples.by_task)
    assert (tmp_path / "r.html").read_text().count("<figure>") == 4


def test_media_have_a_limit(colours: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anymal.evaluation.html.examples._MOST_BYTES", 300)
    records = [colours.record("green", number=index) for index in range(3)]
    assistant = colours.assistant(is_blind=True)
    examples = Examples(assistant.processor)
    evaluate(assistant, {"c": records}, controls=(), watch=examples.watch)
    shown = [bool(one.media) for one in examples.by_task["c"]]
    assert shown[0]
    assert not shown[-1]
    assert "left out" in examples.by_task["c"][-1].note


def test_every_signal_is_drawn_small() -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (1200, 900, 3), dtype=np.uint8)
    frames = random.integers(0, 256, (32, 300, 400, 3), dtype=np.uint8)
    wave = np.sin(np.arange(400_000) / 9).astype(np.float32)
    samples = random.normal(size=(5000, 6)).astype(np.float32)
    drawn = [
        draw("image", Image(pixels=pixels)),
        draw("video", Video(frames=frames, times_s=np.arange(32.0), duration_s=32.0)),
        draw("audio", Audio(samples=wave, rate_hz=16000)),
        draw("imu", Motion(samples=samples, rate_hz=50.0, present=np.full(6, True))),
    ]
    assert all(one.picture for one in drawn)
    assert drawn[2].title == "audio, 25.0 s at 16,000 Hz; the first 10.0 s can be played"
    for one in drawn:
        width, height = PillowImage.open(io.BytesIO(b64decode(one.picture.partition(",")[2]))).size
        assert width <= 768
        assert height <= 240
    assert [bool(one.sound) for one in drawn] == [False, False, True, False]
    assert all(one.num_bytes < 500_000 for one in drawn)
    assert draw("smell", "anything") == Drawn(title="smell")


def test_worst_are_those_below_what_the_metric_can_give() -> None:
    question = SimpleNamespace(expected=SimpleNamespace(task="captions"))
    captions: Any = SimpleNamespace(
        questions=[question] * 3, judged=Judged(values=np.array([2.5, 10.0, 0.5]), highest=10.0)
    )
    assert worst(captions) == [2, 0]
    few: Any = SimpleNamespace(
        questions=[question], judged=Judged(values=np.array([2.5]), highest=10.0)
    )
    assert worst(few) == [0]
