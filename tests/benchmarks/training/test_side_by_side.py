"""Training steps side by side: all do the same work, at a small shape; ratios by hand."""

from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from benchmarks.training import ours, peers, shape
from benchmarks.training import side_by_side as module
from benchmarks.training.peers import Work
from benchmarks.training.side_by_side import LAYOUTS, contenders, last_line, side_by_side, summary


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (ours.WIDE, {"hidden_size": 96, "intermediate_size": 128, "num_hidden_layers": 2}),
        (shape.VIT, {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 3}),
        (peers._RESAMPLER, {"resampler_head_dim": 8}),
        (peers._QFORMER, {"hidden_size": 48, "num_hidden_layers": 2}),
        (ours.ALIGNERS["perceiver"], {"head_dim": 8, "hidden_dim": 96}),
    ]
    for own, smaller in sizes:
        for name, value in smaller.items():
            monkeypatch.setitem(own, name, value)
    monkeypatch.setattr(peers, "_OPT_FFN", 160)


def test_all_do_the_same_work_and_ours_is_llava_where_its_connector_is(
    small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SAME_PARAMETERS", 0.05)  # positions of a small OPT
    ticks = count()
    (found,) = side_by_side(contenders(), rounds=1, seconds=0, clock=lambda: float(next(ticks)))
    for layout in LAYOUTS:
        done = {name: work[layout] for name, work in found["work"].items()}
        assert {work["positions"] for work in done.values()} == {512}
        assert len({work["learnt"] for work in done.values()}) == 1
        # Of the 4 x 128, 4 x 32 are a prompt whose keys and values ours keeps.
        rows = 384 if layout == "prompted" else 512
        assert {work["run"] for name, work in done.items() if "ours" in name} == {rows}
        assert {work["run"] for name, work in done.items() if "ours" not in name} == {512}
        # After two steps each; had any step differed, so would the next loss.
        assert done["ours, mlp"]["loss"] == pytest.approx(done["LLaVA"]["loss"], rel=1e-4)
        assert done["ours, mlp, cached"]["loss"] == pytest.approx(done["LLaVA"]["loss"], rel=1e-3)
    assert len(found["rows"]) == 2 * 7
    assert all(row["seconds"] == 1 for row in found["rows"])


def test_different_work_is_refused() -> None:
    made = {
        name: peers.Contender(prepare=str, step=str, language=8, trained=1)
        for name in ("LLaVA", "ours, mlp")
    }  # type: ignore[arg-type]
    same = Work(loss=1.0, positions=512, run=512, learnt=64)

    def check(other: Work, *, runs_all: bool = False) -> None:
        work = {"LLaVA": same, "ours, mlp": other}
        module._check_same(made, work, runs_all=runs_all)

    for difference in ({"positions": 511}, {"learnt": 63}, {"loss": 1.01}):
        with pytest.raises(AssertionError, match="differ"):
            check(replace(same, **difference))
    left_out = replace(same, run=384)
    check(left_out)
    with pytest.raises(AssertionError, match="run differ"):
        check(left_out, runs_all=True)


def test_ratios_are_of_medians_beside_the_best_peer() -> None:
    seconds = {
        "LLaVA": (4.0, 3.0, 9.0),
        "Idefics2": (3.0, 3.0, 3.0),
        "BLIP-2": (5.0, 5.0, 5.0),
        "ours, mlp": (1.0, 1.0, 1.0),
        "ours, mlp, cached": (1.0, 1.0, 1.0),
        "ours, perceiver": (2.0, 2.5, 9.0),
        "ours, perceiver, cached": (2.0, 1.0, 2.0),
    }
    rows = [
        {"layout": "prompted", "contender": name, "seconds": value, "probe_ms": 1.0}
        for name, values in seconds.items()
        for value in values
    ]
    found = summary(rows)
    assert found["prompted"]["best_peer"] == "Idefics2"
    assert found["prompted"]["ours_like_it"] == "ours, perceiver"  # not the cheaper connector
    assert found["prompted"]["seconds"]["LLaVA"] == {"best": 3.0, "median": 4.0}
    found["plain"] = {"on_the_fly_vs_best_peer": 1.0, "cached_vs_best_peer": 1.1}
    assert last_line({"summary": found}) == {
        "on_the_fly_vs_best_peer": 1.2,
        "cached_vs_best_peer": 1.5,
        "on_the_fly_vs_best_peer_without_prompt": 1.0,
        "cached_vs_best_peer_without_prompt": 1.1,
    }
