"""Names of licences: how they are written, and which are known to allow commercial use.

Gives no legal advice: it compares names, and takes what it does not know for not allowed.
"""

import re

UNKNOWN = "unknown"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+:-]*")
_JOINED = re.compile(r" (?:AND|OR) ")
# Non-commercial, as a part of a name: CC-BY-NC-4.0, PolyForm-Noncommercial-1.0.0.
_NON_COMMERCIAL = re.compile(r"(?:^|-)(?:NC|NON-?COMMERCIAL)(?:-|$)", re.IGNORECASE)
_COMMERCIAL = re.compile(
    r"CC0-.*|CC-BY(-SA|-ND)?-\d.*|CC-PDDC|PDDL-.*|ODbL-.*|ODC-By-.*|CDLA-.*|C-UDA-.*|O-UDA-.*"
    r"|OGL-.*|NLOD-.*|etalab-.*|DL-DE-.*|Apache-.*|MIT|MIT-0|BSD-\d.*|0BSD|ISC|Zlib|Unlicense"
    r"|WTFPL|BSL-.*|MPL-.*|EPL-.*|EUPL-.*|Artistic-.*|(A|L)?GPL-.*|GFDL-.*|PSF-.*|Python-.*",
    re.IGNORECASE,
)


def check_licence(text: str) -> str:
    """Check how a licence is written.

    Args:
        text: An SPDX name, several joined by AND or OR, or `unknown`.

    Returns:
        The same.

    Raises:
        ValueError: It is none of these.
    """
    if not all(_NAME.fullmatch(name) for name in _JOINED.split(text)):
        raise ValueError(
            f"licence {text!r} is no SPDX name; write it as https://spdx.org/licenses lists it, "
            f"such as CC-BY-4.0, join several by AND, or write {UNKNOWN}"
        )
    return text


def why_not_commercial(licence: str) -> str | None:
    """Say why what is under a licence may not be used commercially.

    Args:
        licence: See `check_licence`; AND binds closer than OR.

    Returns:
        The reason; None where it may.
    """
    choices = [_why_not_all(choice.split(" AND ")) for choice in licence.split(" OR ")]
    return None if None in choices else choices[0]


def _why_not_all(names: list[str]) -> str | None:
    """Why licences that all hold do not allow it."""
    for name in names:
        if name == UNKNOWN:
            return "its licence is unknown"
        if _NON_COMMERCIAL.search(name):
            return f"its licence {name} is non-commercial"
        if not _COMMERCIAL.fullmatch(name):
            return f"its licence {name} is not known to allow it"
    return None
