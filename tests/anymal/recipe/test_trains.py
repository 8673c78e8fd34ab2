"""What rules of a recipe may reach, told from their patterns alone."""

import pytest

from anymal.recipe.trains import TrainRule, trained_encoders


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("*", ["image", "imu"]),
        ("enc*", ["image", "imu"]),
        ("*.layers.0.*", ["image", "imu"]),
        ("encoders", ["image", "imu"]),
        ("encoders.*", ["image", "imu"]),
        ("encoders.im*", ["image", "imu"]),
        ("encoders.ima*", ["image"]),
        ("encoders.[i]mage.*", ["image", "imu"]),
        ("encoders.image", ["image"]),
        ("encoders.imu.layers.-1.*", ["imu"]),
        ("aligners.*", []),
        ("llm.*", []),
        ("encoders.video.*", []),
    ],
)
def test_encoders_that_a_pattern_may_name(what: str, found: list[str]) -> None:
    assert trained_encoders([TrainRule(what=what)], ["image", "imu"]) == found
