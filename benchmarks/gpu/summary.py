"""What the rows of `gpu_70b` come to: ratios to the plain way, shares of what the card can do.

Does not measure anything.
"""

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]
_SIZES = ("lora", "tokens", "batch", "length")


def summary(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Compare this project's rows with those of the other contender at the same size.

    Args:
        rows: Those measured so far.

    Returns:
        By case and size; figures that those rows do not tell yet are left out. Tokens are those
        that ran. Steps are compared by the samples a second, some of whose positions need not run.
    """
    common: Row = {}
    for row in rows:
        if row["case"] in ("ceilings", "build"):
            common |= row
    told: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.get("who") == "ours" and "tokens_per_s" in row:
            sizes = " ".join(f"{name}={row[name]}" for name in _SIZES if name in row)
            told[f"{row['case']} {sizes}"] = _figures(row, _beside(row, rows), common)
    return told


def _figures(row: Row, peer: Row | None, common: Row) -> dict[str, float]:
    """What one row says."""
    figures = {"tokens_per_s": row["tokens_per_s"]}
    if peer is not None:
        by = "samples_per_s" if "samples_per_s" in row else "tokens_per_s"
        figures["times_the_plain_way"] = round(row[by] / peer[by], 3)
    if "product_flops" in common and "weights" in common:
        figures["share_of_ceiling"] = round(row["tokens_per_s"] / _ceiling(row, common), 3)
    if "peak_bytes" in row and "planned_bytes" in row:
        figures["measured_over_planned"] = round(row["peak_bytes"] / row["planned_bytes"], 3)
    return figures


def _beside(row: Row, rows: Sequence[Row]) -> Row | None:
    """The other contender's row."""
    for other in rows:
        is_same = all(other.get(name) == row.get(name) for name in ("case", *_SIZES))
        if is_same and other["who"] != row["who"] and "tokens_per_s" in other:
            return other
    return None


def _ceiling(row: Row, common: Row) -> float:
    """Tokens a second that the measured ceilings allow."""
    if row["case"] == "decode":  # every step reads all weights once
        return float(row["batch"] * common["copy_bytes_per_s"] / common["planned_bytes"])
    # 2 FLOPs a weight each: forward; in training forward again, and the gradient of the inputs.
    passes = 3 if row["case"] == "train" else 1
    return float(common["product_flops"] / (2 * passes * common["weights"]))
