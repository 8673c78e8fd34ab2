"""Records with two answers about a red picture and a motion recording, as preferences read them."""

from typing import Any

from anymal.recipe.objective import PreferenceRecipe
from train.data.pairs import Pair, check_pair


def compares(preset: str, **keys: Any) -> PreferenceRecipe:
    """A preset, or with `terms` none; HALVA's without other records."""
    own = {"kl": None} if preset == "halva" else {}
    named = {} if "terms" in keys else {"preset": preset}
    return PreferenceRecipe.model_validate({"kind": "preference", **named, **own, **keys})


def record(talk: Any, **changes: Any) -> dict[str, Any]:
    question = talk("Which?", "-", images=[(255, 0, 0)], motions=1)["messages"][:1]
    row = {"messages": question, "chosen": "It is red.", "rejected": "It is blue, and moves."}
    return {key: value for key, value in (row | changes).items() if value is not None}


def check(row: object, preset: str = "dpo", **keys: Any) -> Pair:
    return check_pair(row, compares(preset, **keys), where="pairs.jsonl:1", base_dir=None)


PHRASES = {"chosen": [[6, 9, 1], [14, 19, 2]], "rejected": [[6, 10, 1], [15, 19, 2]]}


def phrased(talk: Any, **changes: Any) -> dict[str, Any]:
    words = {"chosen": "It is red and moves.", "rejected": "It is blue and lies."}
    return record(talk, **words, meta={"phrases": PHRASES}, **changes)
