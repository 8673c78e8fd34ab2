"""Rules choose weights by name, by kind and by counted layers; the first that matches counts."""

import pytest

from anymal.errors import RecipeError
from anymal.trainable.rules import Kind, Weight, match

TOWER = [f"encoders.image.blocks.{i}.fc.{kind}" for i in range(3) for kind in ("weight", "bias")]
NAMES: dict[str, Kind] = {
    **dict.fromkeys(["aligners.image.queries", "aligners.imu.linear.weight"], "weight"),
    **dict.fromkeys(["encoders.image.norm.weight", *TOWER], "weight"),
    "llm.model.layers.0.q_proj.weight": "weight",
    "llm.model.layers.0.q_proj.bias": "bias",
    "llm.model.layers.1.q_proj.weight": "weight",
    "llm.model.layers.1.q_proj.lora_A.default.weight": "lora",
    "llm.model.norm.weight": "norm",
    "extra_tokens.rows": "weight",
}
WEIGHTS = {name: Weight(name=name, size=1, kind=kind) for name, kind in NAMES.items()}


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [
        ("aligners.image", ["aligners.image.queries"]),
        ("aligners.*", ["aligners.image.queries", "aligners.imu.linear.weight"]),
        ("encoders.image.layers.-1.*", TOWER[4:]),
        ("encoders.image.layers.0.fc.bias", [TOWER[1]]),
        ("encoders.image.*norm*", ["encoders.image.norm.weight"]),
        ("llm.layers.-2", ["llm.model.layers.0.q_proj.weight", "llm.model.layers.0.q_proj.bias"]),
        ("llm.lora", ["llm.model.layers.1.q_proj.lora_A.default.weight"]),
        ("llm.norms", ["llm.model.norm.weight"]),
        ("llm.biases", ["llm.model.layers.0.q_proj.bias"]),
        ("llm.*", [name for name in NAMES if name.startswith("llm.")]),
        ("extra_tokens", ["extra_tokens.rows"]),
    ],
)
def test_a_pattern_chooses(pattern: str, chosen: list[str]) -> None:
    assert sorted(match(WEIGHTS, [pattern])) == sorted(chosen)


def test_the_first_rule_counts() -> None:
    found = match(WEIGHTS, ["llm.norms", "llm.lora", "llm.*"])
    assert found["llm.model.norm.weight"] == 0
    assert found["llm.model.layers.1.q_proj.lora_A.default.weight"] == 1
    assert found["llm.model.layers.0.q_proj.bias"] == 2


@pytest.mark.parametrize(
    ("patterns", "told"),
    [
        (["aligners.video"], r"'aligners\.video' matches no weight; the model has aligners\.im"),
        (["side.*"], r"set model\.side"),
        (
            ["encoders.image.layers.3.*"],
            r"encoders\.image has encoders\.image\.norm\.wei",
        ),
        (["llm.*", "llm.norms"], r"'llm\.norms' comes too late"),
    ],
)
def test_a_rule_without_effect_is_refused(patterns: list[str], told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        match(WEIGHTS, patterns)


@pytest.mark.parametrize(
    ("pattern", "told"),
    [("llm.lora", r"set model\.lora"), ("llm.biases", r"model\.biases"), ("extra_tokens", "list")],
)
def test_the_error_names_the_key_to_set(pattern: str, told: str) -> None:
    plain = {name: WEIGHTS[name] for name in NAMES if name.startswith("aligners")}
    with pytest.raises(RecipeError, match=told):
        match(plain, [pattern])
