import os
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from anymal.assemble import Assembled, build, from_media
from anymal.collate import collate
from anymal.errors import DataError
from anymal.features.shard import read_shard, write_shard
from anymal.features.store import FeatureStore, open_features, stack_cached, store_folder
from encoders.base import Features

WIDTH = 4
FINGERPRINT = "ab" * 32


def encoder(fingerprint: str = FINGERPRINT, width: int = WIDTH) -> Any:
    return SimpleNamespace(fingerprint=fingerprint, width=width)


def features(length: int, seed: int = 0, width: int = WIDTH) -> Features:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.ones(1, length, dtype=torch.bool)
    mask[0, 0] = length == 1  # a hole that is not padding
    return Features(
        values=torch.randn(1, length, width, generator=generator).half(),
        mask=mask,
        steps=torch.arange(length)[None],
    )


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def write(root: Path, number: int, items: dict[str, Features]) -> Path:
    """A file of the store that `encoder()` wrote, by hash."""
    folder = store_folder(root, "image", FINGERPRINT)
    folder.mkdir(exist_ok=True)
    path = folder / f"{number:05d}.safetensors"
    keys = [bytes.fromhex(key) for key in items]
    write_shard(path, keys, list(items.values()), fingerprint=FINGERPRINT)
    return path


def open_store(root: Path) -> FeatureStore:
    return open_features(root, modality="image", encoder=encoder())


def assert_same(item: dict[str, torch.Tensor], expected: Features) -> None:
    values, mask, steps = item.values()
    assert torch.equal(values, expected.values[0])
    assert torch.equal(mask, expected.mask[0])
    assert torch.equal(steps, expected.steps[0])


def test_items_of_any_length_come_back_exactly(tmp_path: Path) -> None:
    items = {digest(str(n)): features(n, seed=n) for n in (3, 1, 7, 2)}
    first, last = dict(list(items.items())[:3]), dict(list(items.items())[3:])
    write(tmp_path, 0, first)
    write(tmp_path, 1, last)
    store = open_store(tmp_path)
    assert len(store) == 4
    for key, expected in items.items():
        assert key in store
        assert_same(store.item(key, name="x")[0], expected)
    assert digest("other") not in store


def test_hashes_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    keys = [f"{'0' * 20}{n:044x}" for n in range(3)]
    write(tmp_path, 0, {key: features(n + 1, seed=n) for n, key in enumerate(keys)})
    store = open_store(tmp_path)
    for n, key in enumerate(keys):
        assert_same(store.item(key, name="x")[0], features(n + 1, seed=n))
    assert f"{'0' * 20}{9:044x}" not in store


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="asks Linux what is mapped")
def test_values_lie_in_the_mapped_file(tmp_path: Path) -> None:
    path = write(tmp_path, 0, {digest("a"): features(3)})
    item = open_store(tmp_path).item(digest("a"), name="a")[0]
    address = item["features.values"].data_ptr()
    lines = Path("/proc/self/maps").read_text().splitlines()
    spans = [line.split()[0].split("-") for line in lines if line.endswith(str(path))]
    assert any(int(begin, 16) <= address < int(end, 16) for begin, end in spans)


def test_colleagues_may_read_a_file(tmp_path: Path) -> None:
    path = write(tmp_path, 0, {digest("a"): features(3)})
    (plain := tmp_path / "plain").write_text("")
    assert path.stat().st_mode == plain.stat().st_mode


def test_padding_of_a_batch_is_outside_the_mask(tmp_path: Path) -> None:
    write(tmp_path, 0, {digest("a"): features(2, seed=1), digest("b"): features(5, seed=2)})
    store = open_store(tmp_path)
    batch = stack_cached([store.item(digest(name), name=name)[0] for name in "ab"])
    assert batch.values.shape == (2, 5, WIDTH)
    assert batch.mask.tolist() == [[False, True, False, False, False], [False, *[True] * 4]]
    assert not batch.values[0, 2:].any()
    assert batch.steps[1].tolist() == [0, 1, 2, 3, 4]
    assert (batch.values.dtype, batch.mask.dtype) == (torch.float16, torch.bool)


def test_a_missing_item_is_named_with_the_command_to_run(tmp_path: Path) -> None:
    write(tmp_path, 0, {digest("a"): features(2)})
    with pytest.raises(DataError, match=r"cat\.png .* not among the 1 image .*anymal data encode"):
        open_store(tmp_path).item(digest("b"), name="cat.png")


def test_another_encoder_is_told(tmp_path: Path) -> None:
    write(tmp_path, 0, {digest("a"): features(2)})
    other = encoder("cd" * 32)
    with pytest.raises(DataError, match=r"another image encoder \(image-abab.*is image-cdcd"):
        open_features(tmp_path, modality="image", encoder=other)
    assert len(open_features(tmp_path, modality="audio", encoder=other)) == 0


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a folder; write it with `anymal data encode"):
        open_store(tmp_path / "no")


def change(path: Path, **tensors: torch.Tensor) -> None:
    """Replace tensors of a file, its facts kept."""
    metadata = {"format": "1", "fingerprint": FINGERPRINT}
    save_file(load_file(path) | tensors, path, metadata=metadata)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-3]), "not a whole file"),
        (lambda path: path.write_bytes(b"junk"), "not a whole file"),
        (lambda path: change(path, values=torch.zeros(7, WIDTH)), "float32"),
        (lambda path: change(path, values=torch.zeros(7, 5).half()), r"\(7, 5\)"),
        (lambda path: change(path, mask=torch.ones(6, dtype=torch.bool)), r"\(6,\)"),
        (lambda path: change(path, ends=torch.tensor([2, 8])), "do not end at its 7"),
        (lambda path: change(path, ends=torch.tensor([7, 7])), "do not end at its 7"),
        (lambda path: change(path, more=torch.zeros(1)), "more"),
        (lambda path: save_file(load_file(path), path), "it says {}"),
    ],
)
def test_damage_is_seen_when_opened(
    tmp_path: Path, damage: Callable[[Path], Any], message: str
) -> None:
    path = write(tmp_path, 0, {digest("a"): features(2), digest("b"): features(5)})
    read_shard(path, fingerprint=FINGERPRINT, width=WIDTH)
    damage(path)
    with pytest.raises(DataError, match=message) as caught:
        open_store(tmp_path)
    assert str(path) in str(caught.value)
    assert "delete it and run `anymal data encode` again" in str(caught.value)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_seen_when_read(tmp_path: Path, bad: float) -> None:
    values = torch.zeros(7, WIDTH).half()
    values[6, 3] = bad
    path = write(tmp_path, 0, {digest("a"): features(2), digest("b"): features(5)})
    change(path, values=values)
    store = open_store(tmp_path)
    store.item(digest("a"), name="a")
    with pytest.raises(DataError, match="item 1 is not finite"):
        store.item(digest("b"), name="b")


def test_a_file_that_cannot_be_finished_does_not_appear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(DataError, match=r"cannot write .*No space left.*the same command"):
        write(tmp_path, 0, {digest("a"): features(2)})
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


# --- the processor and the model ----------------------------------------------------------------


@pytest.fixture
def cached(
    assembled: Assembled, talk: Callable[..., Any], tmp_path: Path
) -> tuple[Assembled, list[Any]]:
    """The shared model with a processor that reads its own features, and records of both kinds."""
    records = [
        talk("Which?", "Red.", images=[(255, 0, 0)], motions=3),
        talk("And now?", "Blue and green.", images=[(0, 0, 255), (0, 255, 0)]),
    ]
    samples = [assembled.processor(record) for record in records]
    media = assembled.model.encode(collate(samples, pad_id=0).media)
    modalities = dict(assembled.processor.modalities)
    for name, seen in media.items():
        own: Any = assembled.model.encoders[name]
        folder = store_folder(tmp_path, name, own.fingerprint)
        folder.mkdir()
        keys = [
            bytes.fromhex(item.digest) for sample in samples for item in sample.media.get(name, [])
        ]
        items = [
            Features(
                values=seen.values[row : row + 1].half(),
                mask=seen.mask[row : row + 1],
                steps=seen.steps[row : row + 1],
            )
            for row in range(len(keys))
        ]
        write_shard(folder / "00000.safetensors", keys, items, fingerprint=own.fingerprint)
        store = open_features(tmp_path, modality=name, encoder=own)
        modalities[name] = replace(modalities[name], features=store)
    processor = assembled.processor.without_features()
    processor.modalities = modalities
    return replace(assembled, processor=processor), records


def loss_of(assembled: Assembled, records: list[Any]) -> float:
    batch = collate([assembled.processor(record) for record in records], pad_id=0)
    with torch.no_grad():
        return float(assembled.model.loss(batch).total)


def test_the_loss_from_features_is_the_loss_from_media(
    assembled: Assembled, cached: tuple[Assembled, list[Any]]
) -> None:
    from_cache, records = cached
    plain = loss_of(assembled, records)
    assert loss_of(from_cache, records) == pytest.approx(plain, rel=2e-3)
    assert loss_of(from_media(from_cache), records) == plain


def test_a_cached_item_is_not_decoded(cached: tuple[Assembled, list[Any]]) -> None:
    def decode(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("decoded")

    from_cache, records = cached
    processor = from_cache.processor.decoding_by(decode)
    samples = [processor(record) for record in records]
    batch = collate(samples, pad_id=0)
    assert all(isinstance(seen, Features) for seen in batch.media.values())
    with pytest.raises(AssertionError, match="decoded"):
        processor.without_features()(records[0])


def test_a_medium_that_is_not_cached_is_named(
    cached: tuple[Assembled, list[Any]], talk: Callable[..., Any]
) -> None:
    with pytest.raises(DataError, match=r"image/png.* is not among the 3 image items"):
        cached[0].processor(talk("Which?", "Pink.", images=[(255, 0, 255)]))


def test_build_opens_features_before_anything_runs(
    model_recipe: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "image-0123").mkdir()
    (tmp_path / "image-0123" / "00000.safetensors").write_bytes(b"another's")
    with pytest.raises(DataError, match="another image encoder"):
        build(model_recipe(), features=tmp_path)
