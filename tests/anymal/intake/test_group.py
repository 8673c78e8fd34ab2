"""A film, its sound and a motion on one clock are read, and learnt from, in the order of time."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from anymal.chat.parts import pieces_of
from anymal.chat.segments import MediaSegment, TextSegment, Turn
from anymal.collate import collate
from anymal.errors import ConversationError
from anymal.intake.clock import in_time_order, segments_of
from anymal.protocol.conversation import data_url
from anymal.protocol.group import Group
from anymal.sample import SLOT_ID, Item, Sample
from tests import tiny
from tests.anymal.intake.grouped import Part, answered, conversation, order
from tests.anymal.media.made import film

if TYPE_CHECKING:
    from anymal.assemble import Assembled


def replace_clock(model: "Assembled", clock: Any) -> Any:
    processor = model.processor.without_features()
    processor.clock = clock
    return processor


def test_windows_are_in_time_order(model: "Assembled", parts: dict[str, Part]) -> None:
    record = conversation(parts["video"], parts["audio"], parts["imu"])
    sample = model.processor(record, generate=True)
    # Frames at 0.6 and 1.8 s; sound to 1 s; patches of 0.16 s, the last with its middle at 1.2 s.
    assert order(sample) == [
        *(("audio", 0), ("imu", 0)),  # from 0 s
        *(("video", 0), ("audio", 1), ("imu", 1)),  # from 0.5 s
        ("imu", 2),  # from 1 s
        ("video", 1),  # from 1.5 s
    ]
    assert [item.ticks.unique().tolist() for item in sample.media["video"]] == [[1, 3]]
    assert int((sample.ids == SLOT_ID).sum()) == sum(slot.length for slot in sample.slots)


def test_a_medium_that_begins_later_comes_later(model: "Assembled", parts: dict[str, Part]) -> None:
    imu = {"name": "g", "start_s": 1.0}
    sample = model.processor(conversation(parts["audio"], parts["imu"], imu=imu), generate=True)
    assert [name for name, _ in order(sample)] == ["audio", "audio", "imu", "imu", "imu"]
    assert sample.media["imu"][0].ticks.unique().tolist() == [2, 3, 4]


def test_the_text_around_a_medium_stands_once(model: "Assembled", parts: dict[str, Part]) -> None:
    sample = model.processor(conversation(parts["audio"], parts["imu"]), generate=True)
    words = "".join(
        "*" if id_ == SLOT_ID else model.processor.tokenizer.decode([id_])
        for id_ in sample.ids.tolist()
    )
    shown = words.replace("*" * 40, "M").replace("*" * 32, "S")
    # The facts of the motion and its suffix stand behind its last window.
    assert "audio:Simu:MS\nMM 1.3 s; 50 Hz; mean" in shown
    assert shown.count("audio:") == shown.count("imu:") == 1


def test_media_of_two_groups_keep_their_own_time(
    model: "Assembled", parts: dict[str, Part]
) -> None:
    record = conversation(parts["imu"], {**parts["audio"], "group": "other"}, group=None, imu="g")
    sample = model.processor(record, generate=True)
    assert [name for name, _ in order(sample)] == ["imu"] * 3 + ["audio"] * 2


def test_without_a_group_all_is_as_without_a_clock(
    model: "Assembled", parts: dict[str, Part]
) -> None:
    record = answered(conversation(*parts.values(), group=None))
    plain = [replace_clock(model, clock)(record) for clock in (model.processor.clock, None)]
    assert torch.equal(plain[0].ids, plain[1].ids)
    assert plain[0].slots == plain[1].slots
    assert order(plain[0]) == [("video", 0), ("audio", 0), ("imu", 0)]
    with torch.no_grad():
        losses = [model.model.loss(collate([each], pad_id=0)).total for each in plain]
    assert torch.equal(*losses)
    assert all(item.ticks is None for items in plain[0].media.values() for item in items)


def test_packed_equals_one_by_one(model: "Assembled", samples: list[Sample]) -> None:
    with torch.no_grad():
        each = [model.model.loss(collate([sample], pad_id=0)).total for sample in samples]
        for is_packed in (False, True):
            batch = collate(samples, pad_id=0, is_packed=is_packed)
            found = model.model.loss(batch).per_sample
            torch.testing.assert_close(found, torch.stack(each), atol=1e-4, rtol=1e-5)


def test_gradients_reach_every_aligner(model: "Assembled", samples: list[Sample]) -> None:
    model.model.set_trainable(["aligners.video", "aligners.audio", "aligners.imu"])
    model.model.loss(collate(samples, pad_id=0)).total.backward()
    for name in ("video", "audio", "imu"):
        grads = [parameter.grad for parameter in model.model.aligners[name].parameters()]
        assert all(grad is not None and bool(grad.any()) for grad in grads)
    model.model.zero_grad()
    model.model.set_trainable([])


def test_a_film_with_its_sound_is_two_media_of_one_group(
    model: "Assembled", tmp_path: Path
) -> None:
    url = data_url(film(tmp_path / "f.mp4", sound="aac"))
    one = {"type": "video_url", "video_url": {"url": url, "sound": True}}
    two = [
        {"type": "video_url", "video_url": {"url": url}},
        {"type": "audio_url", "audio_url": {"url": url}},
    ]
    whole = model.processor(conversation(one, group=None), generate=True)
    apart = model.processor(conversation(*two), generate=True)
    assert torch.equal(whole.ids, apart.ids)
    assert whole.slots == apart.slots
    assert len({modality for modality, _ in order(whole)}) == 2
    for name, (item,) in whole.media.items():
        assert item.digest == apart.media[name][0].digest
    one["video_url"] |= {"end_s": 1.0}  # type: ignore[operator]
    with pytest.raises(ConversationError, match="sound: true reads the whole film"):
        model.processor(conversation(one, group=None), generate=True)


def test_what_cannot_stand_on_a_clock_is_refused(
    model: "Assembled", parts: dict[str, Part]
) -> None:
    image = {"type": "image_url", "image_url": {"url": tiny.png((255, 0, 0))}}
    with pytest.raises(ConversationError, match="does not tell when it saw what") as error:
        model.processor(conversation(parts["audio"], image), generate=True)
    assert error.value.place == "messages.0.content.1"
    with pytest.raises(ConversationError, match="this model has no clock"):
        replace_clock(model, None)(conversation(parts["audio"]), generate=True)


def test_a_template_is_shown_each_medium_once() -> None:
    def windows(modality: str, *ticks: int) -> list[MediaSegment]:
        item = Item(tensors={}, digest=modality, ticks=torch.tensor(ticks))
        slot = MediaSegment(modality=modality, index=0, prefix="<", suffix=">", facts=" 1 s")
        return segments_of(slot, item, Group(name="g"))

    content = [*windows("audio", 0, 2, 2), *windows("imu", 1), TextSegment(text="What?")]
    turn = Turn(role="user", content=tuple(in_time_order(content)))
    pieces = pieces_of([turn], {"audio": "<audio>", "imu": "<imu>"})
    assert [piece.kind for piece in pieces] == ["audio", "imu", "text"]
    flat = [each for piece in pieces for each in piece.content]
    places = [(s.modality, s.window) for s in flat if isinstance(s, MediaSegment)]
    assert places == [("audio", 0), ("imu", 0), ("audio", 1)]
    said = [s.text for s in flat if isinstance(s, TextSegment) and s.text]
    assert said == ["<", "<", " 1 s", ">", " 1 s", ">", "What?"]
