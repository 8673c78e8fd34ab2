"""How many soft tokens an aligner may give for one medium; checks recipes, so it imports no torch.

Does not count them; an aligner does.
"""

# Of one medium, whatever the aligner: what a plan, a processor and a buffer may rely on.
MOST_TOKENS = 4096
# Kinds that always give the same number.
_FIXED = {"expand", "joint", "perceiver", "qformer"}


class AlignerError(ValueError):
    """A mistake in how an aligner was named or configured; the message says what to change."""


def check_num_tokens(kind: str, num_tokens: int | None) -> None:
    """Refuse a number of soft tokens that a kind does not give.

    Args:
        kind: Of the aligner.
        num_tokens: Q, or None for one soft token per feature.

    Raises:
        AlignerError: It is out of range, or the kind needs a number.
    """
    allowed = f"1 to {MOST_TOKENS}"
    if num_tokens is None and kind in _FIXED:
        raise AlignerError(
            f"num_tokens is null (one soft token per feature), and the aligner '{kind}' gives a "
            f"fixed number: {allowed}"
        )
    if num_tokens is not None and not 1 <= num_tokens <= MOST_TOKENS:
        raise AlignerError(
            f"num_tokens is {num_tokens}; allowed: {allowed}, and null with "
            "aligners that can give one soft token per feature"
        )
