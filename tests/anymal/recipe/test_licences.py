"""Names of licences, and what they allow."""

import pytest

from anymal.recipe.licences import check_licence, why_not_commercial


@pytest.mark.parametrize(
    "text", ["unknown", "CC-BY-4.0", "MIT AND CC0-1.0", "LicenseRef-Ego4D", "GPL-2.0+"]
)
def test_spdx_names_are_taken(text: str) -> None:
    assert check_licence(text) == text


@pytest.mark.parametrize("text", ["", "CC BY-NC 4.0", "free for research", "MIT, Apache-2.0"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no SPDX name"):
        check_licence(text)


@pytest.mark.parametrize(
    "licence",
    ["CC-BY-4.0", "CC-BY-SA-3.0", "cc0-1.0", "MIT AND Apache-2.0", "CC-BY-NC-4.0 OR MIT"],
)
def test_allowed(licence: str) -> None:
    assert why_not_commercial(licence) is None


@pytest.mark.parametrize(
    ("licence", "why"),
    [
        ("unknown", "its licence is unknown"),
        ("CC-BY-NC-4.0", "its licence CC-BY-NC-4.0 is non-commercial"),
        ("MIT AND CC-BY-NC-SA-4.0", "its licence CC-BY-NC-SA-4.0 is non-commercial"),
        ("PolyForm-Noncommercial-1.0.0", "its licence PolyForm-Noncommercial-1.0.0 is non-"),
        ("LicenseRef-Ego4D", "its licence LicenseRef-Ego4D is not known to allow it"),
        ("unknown OR CC-BY-NC-4.0", "its licence is unknown"),
    ],
)
def test_refused(licence: str, why: str) -> None:
    assert str(why_not_commercial(licence)).startswith(why)
