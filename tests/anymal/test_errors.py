"""What all errors have in common."""

import pytest

from anymal.errors import AnymalError, BundleError, MediaCorrupt


@pytest.mark.parametrize(
    "error",
    [
        BundleError(f"the template writes {'x' * 100_000}; set llm.template to llama2"),
        MediaCorrupt("a.png", "x" * 100_000, "a template; set llm.template to llama2"),
    ],
)
def test_a_message_that_quotes_very_much_is_bounded_and_keeps_its_next_step(
    error: AnymalError,
) -> None:
    assert len(str(error)) == 1000
    assert "x ... x" in str(error)
    assert str(error).endswith("set llm.template to llama2")
