"""What the loss of the labelled positions takes, in chunks (`anymal.llm.cross_entropy`).

Does not choose the positions.
"""

from anymal.llm.cross_entropy import chunk_rows

_FLOAT = 4


def logits_bytes(num_rows: int, *, vocab_size: int, number: int) -> int:
    """Bytes at the fullest moment: log-probabilities and two gradients in float32.

    Args:
        num_rows: Labelled positions of the pass.
        vocab_size: V.
        number: Bytes of what the output head gives; a copy of less than float32 has a gradient too.

    Returns:
        Bytes.
    """
    rows = min(num_rows, chunk_rows(vocab_size))
    copies = 0 if number == _FLOAT else 2 * number
    return rows * vocab_size * (3 * _FLOAT + copies)
