"""The card of a bundle that is shared: README.md, with what the Hub reads at its head.

Says what the manifest says, and measures nothing. The built-in model's own card is written by
`anymal.evaluation.card`.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from anymal.bundle.manifest import Manifest, read_manifest
from anymal.recipe.licences import UNKNOWN

CARD = "README.md"
_TASKS = {name: f"{name}-text-to-text" for name in ("image", "video", "audio")}  # of one modality


def write_card(folder: Path, *, name: str, licence: str) -> str:
    """Write a card.

    Args:
        folder: Of the bundle, from `bundle_folder`.
        name: `ORG/NAME`, under which it is shared.
        licence: Of the weights, as an SPDX name.

    Returns:
        Markdown.
    """
    manifest = read_manifest(folder)
    head = yaml.safe_dump(_head(manifest, licence), sort_keys=False, allow_unicode=True)
    modalities = ", ".join(manifest.modalities)
    sections = [
        f"---\n{head}---\n",
        f"# {name}\n\nA bundle of AnyMAL: a language model with aligners for {modalities}. "
        f"Licence of the weights: {licence}.\n",
        f"## Use\n\n```sh\nanymal bundle pull {name} --out {name.rpartition('/')[2]} --allow-hub\n"
        f'anymal ask "What is it?" --bundle {name} --allow-hub\n```\n',
        "## Parts\n" + _table(["part", "checkpoint"], _parts(manifest)),
        "## Data\n" + _table(["source", "licence", "records", "stage"], _data(manifest)),
        _results(manifest),
    ]
    return "\n".join(section for section in sections if section)


def _head(manifest: Manifest, licence: str) -> dict[str, Any]:
    """What the Hub reads."""
    modalities = list(manifest.modalities)
    return {
        "license": licence.lower(),
        "library_name": "anymal",
        "pipeline_tag": _TASKS.get("".join(modalities), "any-to-any"),
        "tags": ["anymal", *modalities],
        "base_model": _base_models(manifest),
        "data_sources": [
            {"name": source["name"], "licence": source["licence"]}
            for source in _each_once(manifest.data_sources, ("name", "licence"))
        ],
    }


def _base_models(manifest: Manifest) -> list[str]:
    """The checkpoints of the Hub that it builds on."""
    paths = [manifest.llm.path, *(facts.path for facts in manifest.modalities.values())]
    named = [path for path in paths if path is not None and not Path(path).is_absolute()]
    return list(dict.fromkeys(named))


def _parts(manifest: Manifest) -> list[list[str]]:
    """The language model and the encoders; of a folder only its name: its path is private."""
    rows = [["language model", _place(manifest.llm.path, manifest.llm.revision)]]
    for name, facts in manifest.modalities.items():
        kind = facts.aligner["kind"]
        rows.append([f"{name}: {facts.kind} and aligner {kind}", _place(facts.path, None)])
    if manifest.lora is not None:
        rows.append(["LoRA", f"rank {manifest.lora.r}"])
    if manifest.recipe.extra_tokens is not None:
        rows.append(
            ["extra tokens", ", ".join(f"`{word}`" for word in manifest.recipe.extra_tokens)]
        )
    if manifest.recipe.readouts is not None:
        rows.append(["read-outs", ", ".join(f"`{name}`" for name in manifest.recipe.readouts)])
    return rows


def _place(path: str | None, revision: str | None) -> str:
    if path is None:
        return "-"
    if Path(path).is_absolute():
        return f"`{Path(path).name}`"
    return f"`{path}`" + (f" at `{revision}`" if revision else "")


def _data(manifest: Manifest) -> list[list[str]]:
    """Every source of training records."""
    keys = ("name", "licence", "records", "stage")
    return [
        [str(source[key]) for key in keys] for source in _each_once(manifest.data_sources, keys)
    ]


def _results(manifest: Manifest) -> str:
    """Shares of right answers, where any were measured."""
    tasks = manifest.results.get("tasks", []) if isinstance(manifest.results, Mapping) else []
    rows = [
        [
            str(task["name"]),
            f"{100 * task['score']['accuracy']:.1f}",
            str(task["score"]["n"]),
            f"{100 * task['controls']['blank']['accuracy']:.1f}"
            if "blank" in task["controls"]
            else "-",
        ]
        for task in tasks
    ]
    head = ["held-out questions", "right, %", "n", "with a blank medium, %"]
    return "## Results\n" + _table(head, rows) if rows else ""


def _each_once(sources: Sequence[Any], keys: Sequence[str]) -> list[dict[str, Any]]:
    """The sources that a bundle records, by some of their keys; what it does not say is unknown."""
    found = [{key: source.get(key, UNKNOWN) for key in keys} for source in sources]
    return list({tuple(each.values()): each for each in found}.values())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown, set off by an empty line."""
    cells = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *cells]
    return "\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
