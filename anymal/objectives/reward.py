"""The objective `reward`: a number for each answer, larger for the one that a person chose.

Bradley and Terry's model of pairs, with numbers held near 0 (LLaVA-RLHF, arXiv 2309.14525, and its
released code). Does not read records and does not grade answers of others (see `anymal.serving`).

Shapes: P pairs of a batch, B = 2 * P samples.
"""

from torch import Tensor
from torch.nn import functional as F

from anymal.collate import Batch
from anymal.llm.cross_entropy import Loss
from anymal.model import AnyMAL
from anymal.objectives.preference import ACCURACIES, MARGINS
from anymal.objectives.readouts import REWARD
from anymal.objectives.terms import ANSWERS

CENTRE = 1e-3
"""Weight of `|r_chosen + r_rejected|`, which keeps numbers near 0."""


def reward_loss(chosen: Tensor, rejected: Tensor, *, centre: float = CENTRE) -> Tensor:
    """`-log sigmoid(r_w - r_l) + centre * |r_w + r_l|` of each pair.

    The released code takes the absolute value of the mean over whichever pairs are on a device at
    once; that of each pair does not depend on how a batch is cut. Of one pair they are the same.

    Args:
        chosen: `[P]`, rewards of the answers that were chosen.
        rejected: `[P]`, of the others.
        centre: Weight of the second term.

    Returns:
        `[P]`, differentiable.
    """
    return -F.logsigmoid(chosen - rejected) + centre * (chosen + rejected).abs()


def rewards_of(model: AnyMAL, batch: Batch) -> Tensor:
    """The reward of each sample, `[B]` float32, read at its last position.

    Args:
        model: With a read-out `reward`.
        batch: On its device.
    """
    rewards: Tensor = model.readouts[REWARD](model.read(batch)[batch.last_rows])
    return rewards


class Reward:
    """Compares the rewards of the two answers of each pair.

    Args:
        centre: See `reward_loss`.
    """

    def __init__(self, *, centre: float = CENTRE) -> None:
        self._centre = centre

    def __call__(self, model: AnyMAL, batch: Batch) -> Loss:
        """The loss of the pairs of a batch.

        Args:
            model: With a read-out `reward`.
            batch: On the model's device; chosen and rejected, one pair after the other.

        Returns:
            The sum over pairs, and their number. Measures: `rewards/margins`, by how much the
            chosen answer's reward is larger, and `rewards/accuracies`, whether it is.
        """
        found = tuple(part.branch for part in batch.parts)
        num_pairs = len(batch.names) // len(ANSWERS)
        assert found == ANSWERS * num_pairs, found
        chosen, rejected = rewards_of(model, batch).view(-1, len(ANSWERS)).unbind(1)
        each = reward_loss(chosen, rejected, centre=self._centre)
        margins = (chosen - rejected).detach()
        return Loss(
            total=each.sum(),
            count=num_pairs,
            per_sample=each.detach().repeat_interleave(len(ANSWERS)),
            measures={MARGINS: margins.sum(), ACCURACIES: (margins > 0).sum()},
        )
