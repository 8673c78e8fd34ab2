from collections.abc import Callable
from io import StringIO
from pathlib import Path

from rich.console import Console

from anymal.bundle.manifest import read_manifest
from anymal.recipe.schema import load_recipe
from train.run import run

SHORT = (
    *("stages.align.steps=2", "stages.align.warmup_steps=0", "stages.instruct.steps=2"),
    "stages.align.data.0.licence=CC-BY-4.0",
)


def test_a_bundle_tells_all_that_came_before_it(
    write_recipe: Callable[[Path], Path], tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for run_dir, start in ((first, "null"), (second, first / "bundle")):
        settings = load_recipe(write_recipe(run_dir), [*SHORT, f"model.start_from={start}"])
        run(settings, resume=False, console=Console(file=StringIO()))
    before = read_manifest(first / "bundle")
    licences = [one["licence"] for one in before.data_sources]
    assert licences == ["CC-BY-4.0", "unknown", "unknown"]
    assert [one["name"] for one in before.stages] == ["align", "instruct"]
    for folder, names in (("align/bundle", ["align"]), ("bundle", ["align", "instruct"])):
        after = read_manifest(second / folder)
        assert after.stages[:2] == before.stages
        assert [one["name"] for one in after.stages[2:]] == names
        number = len(before.data_sources)
        assert after.data_sources[:number] == before.data_sources
        assert list(dict.fromkeys(one["stage"] for one in after.data_sources[number:])) == names
