"""One kind of medium is left out where a record can do without it, the same again after a stop."""

import json
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from anymal.errors import DataError, RecipeError
from anymal.playground import sources as playground
from anymal.protocol.conversation import Conversation, read_conversation
from anymal.protocol.record import read_record
from anymal.recipe.schema import StageRecipe
from anymal.sample import Sample
from train.data.dropout import Dropout, check_dropout, enough_of, spare_modalities, without
from train.data.feed import training_micro_batches
from train.data.layout import Layout
from train.data.sampler import Sampler
from train.data.sources import Source
from train.dry_run.data import write_data

SOUND = {"type": "audio_url", "audio_url": {"url": "data:,a"}}
FILM = {"type": "video_url", "video_url": {"url": "data:,f"}}
BOTH = [frozenset({"audio"}), frozenset({"video"})]


def record(*parts: dict[str, Any], enough: Any = None) -> dict[str, Any]:
    messages = [
        {"role": "user", "content": [*parts, {"type": "text", "text": "How many?"}]},
        {"role": "assistant", "content": "two"},
    ]
    return {"messages": messages} | ({} if enough is None else {"meta": {"enough": enough}})


def kinds(conversation: Conversation) -> list[str]:
    return [part.type for message in conversation.messages for part in message.parts]


@pytest.mark.parametrize(
    ("parts", "enough", "spare"),
    [
        ([SOUND, FILM], [["audio"], ["video"]], ["audio", "video"]),
        ([SOUND, FILM], [["audio"]], ["video"]),
        ([SOUND, FILM], [["audio", "video"]], []),
        ([SOUND, FILM], None, []),  # all are needed
        ([SOUND, FILM], [[]], []),  # no medium at all is no mixed sample any more
        ([SOUND, FILM], [["imu"]], []),  # which is not there
        ([SOUND, SOUND], [["audio"]], []),  # not mixed
    ],
)
def test_what_can_be_left_out(parts: list[Any], enough: Any, spare: list[str]) -> None:
    given = record(*parts, enough=enough)
    assert spare_modalities(read_record(given), enough_of(given, where="r")) == spare


def test_the_question_and_its_answer_stay() -> None:
    conversation = without(read_record(record(FILM, SOUND, SOUND)), "audio")
    assert kinds(conversation) == ["video_url", "text", "text"]
    assert conversation.messages[1].is_learnt
    assert kinds(without(conversation, "imu")) == kinds(conversation)


def test_a_film_loses_its_sound_or_its_pictures() -> None:
    film = {"type": "video_url", "video_url": {"url": "data:,f", "sound": True}, "group": "g"}
    conversation = read_conversation(record(film))
    assert spare_modalities(conversation, BOTH) == ["audio", "video"]
    (mute, _) = without(conversation, "audio").messages[0].parts
    assert mute.type == "video_url"
    assert not mute.video_url.sound
    (blind, _) = without(conversation, "video").messages[0].parts
    assert (blind.type, blind.group.name) == ("audio_url", "g")  # type: ignore[union-attr]


def test_a_message_of_one_medium_alone_becomes_empty() -> None:
    messages = [{"role": "user", "content": [SOUND]}, {"role": "user", "content": [FILM]}]
    left = without(read_conversation({"messages": messages}), "audio")
    assert left.messages[0].parts[0].text == ""  # type: ignore[union-attr]


def test_the_share_is_kept_and_position_and_record_decide() -> None:
    dropout, conversation = Dropout(share=0.3, seed=1, stage=0), read_record(record(SOUND, FILM))

    def drawn(position: int, number: int) -> str:
        return " ".join(kinds(dropout(conversation, BOTH, position=position, record=number)))

    counts = Counter(drawn(position, 7) for position in range(2000))
    assert counts["audio_url video_url text text"] == pytest.approx(1400, abs=60)
    assert counts["audio_url text text"] == pytest.approx(300, abs=50)
    assert [drawn(p, 7) for p in range(40)] == [drawn(p, 7) for p in range(40)]
    assert [drawn(p, 7) for p in range(40)] != [drawn(p, 8) for p in range(40)]


class FakeProcessor:
    """A sample as long as its conversation has media, so that they can be told apart."""

    def __call__(
        self, conversation: Conversation, *, base_dir: Path | None, generate: bool = False
    ) -> Sample:
        (first, *_) = kinds(conversation)
        ids = torch.tensor([len(kinds(conversation)), first == "audio_url", 1])
        return Sample(ids=ids, labels=ids, slots=(), media={})


def source(*records: dict[str, Any]) -> Source:
    return Source(
        name="made", origin="m:f", licence="none", records=records, weight=1.0, base_dir=None
    )


def stage(**changes: Any) -> StageRecipe:
    fields = {"name": "s", "kind": "align", "data": [{"source": "m:f"}], "steps": 1, "lr": 1.0}
    return StageRecipe.model_validate({**fields, "batch_size": 2, **changes})


def test_a_run_that_continues_leaves_out_the_same() -> None:
    data = [source(*[record(SOUND, FILM, enough=[["audio"], ["video"]])] * 5)]
    dropout = Dropout(share=0.5, seed=3, stage=1)

    def seen(start: int) -> list[list[list[int]]]:
        feed = training_micro_batches(
            stage(bucket=False),
            data,
            Sampler(seed=3, stage=1, sizes=[5], weights=[1.0]),
            FakeProcessor(),  # type: ignore[arg-type]
            {},
            Layout(pad_id=0),
            size=2,
            start=start,
            dropout=dropout,
        )
        return [piece.batch.ids.tolist() for piece in islice(feed, 12)]

    straight = seen(0)
    assert seen(5)[:7] == straight[5:]
    assert len({row[0] for batch in straight for row in batch}) == 2


def test_records_that_never_can_are_refused() -> None:
    silent = source(record(SOUND, FILM))
    with pytest.raises(RecipeError, match=r"stages\.s\.modality_dropout is 0\.5, but .* meta\.eno"):
        check_dropout(stage(modality_dropout=0.5), [silent])
    check_dropout(stage(), [silent])
    check_dropout(
        stage(modality_dropout=0.5), [silent, source(record(SOUND, FILM, enough=[["audio"]]))]
    )


def test_a_modality_that_there_is_not_is_refused() -> None:
    with pytest.raises(DataError, match=r"^r: meta\.enough: .*'sound'.*audio"):
        enough_of(record(SOUND, enough=[["image"], ["sound"]]), where="r")


@pytest.mark.parametrize("enough", ["audio", [["audio"], "video"], [[1]], {"audio": 1}])
def test_what_is_no_list_of_lists_is_refused(enough: Any) -> None:
    with pytest.raises(DataError, match=r"^r: meta\.enough is .* write a list of lists"):
        enough_of(record(SOUND, enough=enough), where="r")


@pytest.mark.parametrize("meta", ["x", [1]])
def test_a_meta_that_is_no_object_is_refused(meta: Any) -> None:
    given = record(SOUND, FILM) | {"meta": meta}
    with pytest.raises(DataError, match=r"^r: meta is .* write an object"):
        enough_of(given, where="r")


def test_a_share_is_one_at_most() -> None:
    with pytest.raises(ValueError, match="less than or equal to 1"):
        stage(modality_dropout=1.5)


def test_the_playground_knows_what_is_enough() -> None:
    for given in playground.either(split="train", size=6):
        conversation = read_record(given)
        (needed,) = enough_of(given, where="r")
        (spare,) = spare_modalities(conversation, [needed])
        assert needed == {given["meta"]["enough"][0][0]}
        assert spare not in needed
    assert "enough" not in playground.mixed(split="train", size=1)[0]["meta"]


def test_a_dry_run_has_a_record_that_can(tmp_path: Path) -> None:
    manifest = write_data(["audio", "imu"], None, tmp_path / "data")
    last = json.loads(manifest.read_text().splitlines()[-1])
    assert spare_modalities(read_record(last), enough_of(last, where="r")) == ["audio", "imu"]
