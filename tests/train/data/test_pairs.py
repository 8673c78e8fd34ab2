from typing import Any

import pytest
import torch

from anymal.assemble import Assembled
from anymal.collate import collate
from anymal.data.checks.talk import read_talk
from anymal.errors import DataError
from anymal.objectives.preference import Preference, scores
from tests.pairs import PHRASES, check, compares, phrased, record
from train.data.pairs import samples_of


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"rejected": None},
            r"^pairs\.jsonl:1: rejected should be the text of an answer, but is missing",
        ),
        ({"chosen": " "}, "chosen should be the text of an answer, but is ' '"),
        ({"rejected": "It is red."}, "the same words"),
        ({"messages": []}, "no messages"),
        ({"messages": ["Which?"]}, "each of messages is an object"),
        ({"messages": [{"role": "assistant", "content": "Red."}]}, "end with the user's question"),
        ({"score": 3}, "'score' is not understood here"),
        ({"rejected": "It is <image>."}, "left as words"),
    ],
)
def test_a_record_says_what_is_wrong(talk: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        check(record(talk, **changes))
    assert read_talk(record(talk, **changes)).mistakes, "`anymal data check` finds it, too"


@pytest.mark.parametrize("meta", [None, {}, {"severity": "high"}, {"severity": True}])
def test_numbers_that_terms_name_have_to_be_there(talk: Any, meta: Any) -> None:
    with pytest.raises(DataError, match=r"weighs by severity, and meta\.severity is"):
        check(record(talk, meta=meta), "hsa_dpo")
    assert check(record(talk, meta={"severity": 2, "x": 1}), "hsa_dpo").numbers == {"severity": 2}


def test_only_the_last_answer_is_learnt(assembled: Assembled, talk: Any) -> None:
    asked = record(talk)["messages"]
    before = [*asked, {"role": "assistant", "content": "It is red."}]
    row = record(talk, messages=[*before, {"role": "user", "content": "Sure?"}], chosen="one")
    sample, _ = samples_of(check(row), compares("dpo"), assembled.processor, base_dir=None)
    learnt = assembled.processor.tokenizer.decode(sample.labels[sample.labels != -100])
    assert "one" in learnt
    assert "red" not in learnt


def test_media_are_decoded_once_encoded_once_and_corrupted_alike(
    assembled: Assembled, talk: Any
) -> None:
    decoded = []

    def decode(medium: Any, *args: Any, **kwargs: Any) -> Any:
        decoded.append(medium.digest)
        return real(medium, *args, **kwargs)

    real = assembled.processor.decode
    processor = assembled.processor.decoding_by(decode)
    pair = check(record(talk))
    once, again = (samples_of(pair, compares("mdpo"), processor, base_dir=None) for _ in range(2))
    assert len(decoded) == 4  # a picture and a motion, twice
    assert [sample.part for sample in once] == [sample.part for sample in again]
    assert len({sample.part.key for sample in once if sample.part}) == 3
    batch = collate(once, pad_id=0)
    assert [part.branch for part in batch.parts] == ["chosen", "rejected", "chosen@crop"]
    for name, media in batch.media.items():
        assert len(batch.slots[name].lengths) == 3
        assert batch.slots[name].items == (0, 0, 1)
        assert len(assembled.model.encode({name: media})[name].values) == 2
    clean, cropped = once[0].media["image"][0], once[2].media["image"][0]
    assert clean.digest != cropped.digest
    torch.testing.assert_close(once[0].ids, once[2].ids)


def test_another_record_is_corrupted_otherwise(talk: Any) -> None:
    seeds = {check(record(talk, chosen=f"It is {word}.")).seed for word in ("red", "big", "red")}
    assert len(seeds) == 2


def test_weights_sit_on_changed_tokens_only(assembled: Assembled, talk: Any) -> None:
    chosen, rejected = (f"It is red. It is {word}. It is red." for word in ("one", "two"))
    pair = check(record(talk, chosen=chosen, rejected=rejected))
    samples = samples_of(pair, compares("rlhf_v"), assembled.processor, base_dir=None)
    decode = assembled.processor.tokenizer.decode
    for sample, word in zip(samples, ("one", "two"), strict=True):
        assert sample.part is not None
        assert sample.part.weights is not None
        ids = sample.labels[sample.labels != -100].tolist()
        assert sum(sample.part.weights) == pytest.approx(1)
        least = min(sample.part.weights)
        weighed = zip(ids, sample.part.weights, strict=True)
        heavy = [token for token, weight in weighed if weight > 2 * least]
        assert decode(heavy).strip() == word
    plain = samples_of(pair, compares("dpo"), assembled.processor, base_dir=None)
    assert samples[0].part != plain[0].part  # their scores are others


def test_weighted_scores_are_sums_of_weighted_log_probabilities(
    assembled: Assembled, talk: Any
) -> None:
    pair = check(record(talk))
    samples = samples_of(pair, compares("rlhf_v"), assembled.processor, base_dir=None)
    batch = collate(samples, pad_id=0)
    with torch.no_grad():
        found = scores(assembled.model, batch)
        each = -assembled.model.target_losses(batch)
    for number, sample in enumerate(samples):
        assert sample.part is not None
        own = each[batch.target_samples == number]
        expected = (own * torch.tensor(sample.part.weights)).sum()
        torch.testing.assert_close(found[number], expected)


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("dpo", 0.663597),
        ("hsa_dpo", 0.634946),
        ("mdpo", 2.039941),
        ("povid", 0.677124),
        ("stic", 0.663597),
    ],
)
def test_published_constants_come_out_of_the_whole_path(
    assembled: Assembled, talk: Any, preset: str, expected: float
) -> None:
    recipe = compares(preset)
    delta = {"chosen": 0.0, "rejected": -0.6, "chosen@crop": -0.2, "greedy@noise": -0.05}
    rows = [record(talk, meta={"severity": 2}), record(talk, meta={"severity": 2}, chosen="one")]
    pairs = [check(row, preset) for row in rows]
    samples = [
        sample
        for pair in pairs
        for sample in samples_of(pair, recipe, assembled.processor, base_dir=None)
    ]
    batch = collate(samples, pad_id=0)

    def others(model: Any, batch: Any) -> torch.Tensor:
        away = torch.tensor([delta[part.branch] for part in batch.parts])
        return scores(model, batch) - away

    with torch.no_grad():
        own = scores(assembled.model, batch)
    objective = Preference(
        recipe.branches, recipe.parsed, beta=0.1, sft=recipe.sft, reference=others
    )
    with torch.no_grad():
        loss = objective(assembled.model, batch)
    chosen = own[[part.branch == "chosen" for part in batch.parts]].sum()
    assert loss.count == 2
    assert float(loss.total + recipe.sft * chosen) == pytest.approx(2 * expected, abs=3e-6)
    assert float(loss.measures["rewards/margins"]) == pytest.approx(2 * 0.06, abs=1e-5)
    assert int(loss.measures["rewards/accuracies"]) == 2


def test_absent_media_are_not_in_the_conversation(assembled: Assembled, talk: Any) -> None:
    recipe = compares("mdpo", terms=[{"chosen": 1, "chosen@absent": -1}])
    [whole, bare] = samples_of(check(record(talk)), recipe, assembled.processor, base_dir=None)
    assert set(whole.media) == {"image", "imu"}
    assert bare.media == {}
    assert bare.slots == ()
    learnt = [sample.labels[sample.labels != -100].tolist() for sample in (whole, bare)]
    assert learnt[0] == learnt[1]
    batch = collate([whole, bare], pad_id=0)
    with torch.no_grad():
        found = scores(assembled.model, batch)
    assert found[0] != found[1]


def test_phrases_are_those_of_their_characters(assembled: Assembled, talk: Any) -> None:
    pair = check(phrased(talk), "halva")
    samples = samples_of(pair, compares("halva"), assembled.processor, base_dir=None)
    for sample, words in zip(samples, (("red", "moves"), ("blue", "lies")), strict=True):
        assert sample.part is not None
        assert sample.part.phrases is not None
        ids = sample.labels[sample.labels != -100].tolist()
        assert len(ids) == len(sample.part.phrases)
        for number, word in enumerate(words, start=1):
            own = [i for i, n in zip(ids, sample.part.phrases, strict=True) if n == number]
            assert assembled.processor.tokenizer.decode(own).strip() == word
        assert sample.part.phrases[-1] == 0  # what ends the answer


def test_space_around_an_answer_moves_its_phrases(assembled: Assembled, talk: Any) -> None:
    plain = check(phrased(talk), "halva")
    row = phrased(talk)
    row["chosen"] = f"  {row['chosen']} "
    row["meta"] = {
        "phrases": PHRASES | {"chosen": [[a + 2, b + 2, n] for a, b, n in PHRASES["chosen"]]}
    }
    moved = check(row, "halva")
    first, second = (
        samples_of(pair, compares("halva"), assembled.processor, base_dir=None)[0].part
        for pair in (plain, moved)
    )
    assert first is not None
    assert second is not None
    assert first.phrases == second.phrases


def test_halva_compares_phrases_alone(
    assembled: Assembled, talk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = compares("halva")
    one = {name: spans[:1] for name, spans in PHRASES.items()}
    rows = [phrased(talk), phrased(talk) | {"meta": {"phrases": one}}]
    samples = [
        sample
        for row in rows
        for sample in samples_of(check(row, "halva"), recipe, assembled.processor, base_dir=None)
    ]
    batch = collate(samples, pad_id=0)
    numbers = torch.tensor([n for part in batch.parts for n in part.phrases or ()])
    # Each phrase of the shared example: -0.3 of the chosen answer, -0.6 of the rejected one.
    wanted = torch.where(batch.target_samples % 2 == 0, 0.3, 0.6)
    counts = torch.tensor(
        [
            ((batch.target_samples == s) & (numbers == n)).sum()
            for s, n in zip(batch.target_samples.tolist(), numbers.tolist(), strict=True)
        ]
    )
    losses = (wanted / counts).requires_grad_()
    monkeypatch.setattr(type(assembled.model), "losses_of", lambda *_: losses)
    objective = Preference(recipe.branches, recipe.parsed, beta=recipe.beta, by_phrase=True)
    loss = objective(assembled.model, batch)
    # The mean over the phrases of each pair: the second has one, and no log 2 for another.
    assert loss.total.item() == pytest.approx(2 * 0.554355, abs=2e-6)
    assert float(loss.measures["rewards/margins"]) == pytest.approx(2 * 0.3, abs=1e-6)
    loss.total.backward()
    assert losses.grad is not None
    assert not losses.grad[numbers == 0].any()
    assert losses.grad[numbers > 0].all()
