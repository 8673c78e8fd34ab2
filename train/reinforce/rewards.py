"""What says how good answers are: reward models, and functions of the caller's own.

A function is called as TRL calls reward functions (`trl.GRPOTrainer`, `RLOOTrainer`): with
`prompts` and `completions`, both lists of messages, and a keyword for each column of the records;
it returns a number for each. Columns are what a record has beside its messages, with the keys of
`meta` among them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch

from anymal.bundle.load import load_bundle
from anymal.errors import AnymalError, DataError
from anymal.objectives.reward import rewards_of
from anymal.protocol.conversation import Message
from anymal.recipe.reinforce import RewardSource
from anymal.recipe.reward import grading_of
from anymal.sample import Sample
from train.data.graded import facts_of
from train.data.layout import Layout
from train.data.sources import import_function
from train.errors import TrainingError
from train.reinforce.answers import Answered


class Grade(Protocol):
    """Grades answers."""

    def __call__(self, answers: Sequence[Answered]) -> list[float]:
        """A number for each answer, larger is better."""
        ...


class BundleGrade:
    """Grades by a reward model, which alone is told the facts of a record (`meta.facts`).

    Args:
        bundle: Where it is.
        device: Where it goes.
        size: Most answers that it reads at once.

    Raises:
        BundleError: It cannot be loaded.
        TrainingError: It reads no reward.
    """

    def __init__(self, bundle: str, *, device: torch.device, size: int) -> None:
        self._assembled = load_bundle(bundle, device=device)
        try:
            self._grading = grading_of(self._assembled.model_recipe)
        except ValueError as error:
            raise TrainingError(
                f"the bundle {bundle!r} grades no answers: {error}, and train it with objective: "
                "{kind: reward}"
            ) from error
        self._size = size
        self._layout = Layout(pad_id=self._assembled.processor.pad_id)

    @property
    def read_out(self) -> Mapping[str, torch.Tensor]:
        """The weights of its read-out."""
        read: Mapping[str, torch.Tensor] = self._assembled.model.readouts["reward"].state_dict()
        return read

    @torch.no_grad()
    def __call__(self, answers: Sequence[Answered]) -> list[float]:
        """See `Grade`."""
        model = self._assembled.model
        samples, rewards = [self.sample(answer) for answer in answers], list[float]()
        for first in range(0, len(samples), self._size):
            batch = self._layout(samples[first : first + self._size])
            rewards += rewards_of(model, batch.to(model.device)).tolist()
        return rewards

    def sample(self, answer: Answered) -> Sample:
        """An answer as the reward model reads it."""
        own, grading = answer.prompted, self._grading
        said = Message(role="assistant", content=answer.text)
        talk = own.conversation.model_copy(update={"messages": [*own.conversation.messages, said]})
        facts = facts_of(own.record, where=own.where) if grading.takes_facts else ()
        try:
            return self._assembled.processor(
                grading(talk, facts), base_dir=own.base_dir, generate=grading.is_asked
            )
        except AnymalError as error:
            raise DataError(f"{own.where}, as the reward model reads it: {error}") from error


class FunctionGrade:
    """Grades by a function.

    Args:
        reference: `package.module:function`.

    Raises:
        DataError: There is no such function.
    """

    def __init__(self, reference: str) -> None:
        self._reference = reference
        self._function: Callable[..., Any] = import_function(reference, what="reward function")

    def __call__(self, answers: Sequence[Answered]) -> list[float]:
        """See `Grade`."""
        columns = [_columns(answer.prompted.record) for answer in answers]
        names = dict.fromkeys(name for each in columns for name in each)
        found = self._function(
            prompts=[_plain(answer.prompted.record) for answer in answers],
            completions=[[{"role": "assistant", "content": answer.text}] for answer in answers],
            **{name: [each.get(name) for each in columns] for name in names},
        )
        rewards = list(found)
        if len(rewards) != len(answers) or not all(map(_is_number, rewards)):
            raise TrainingError(
                f"the reward function {self._reference!r} returned {rewards!r:.200} for "
                f"{len(answers)} answers; it returns a finite number for each"
            )
        return [float(reward) for reward in rewards]


class Grades:
    """The weighted sum of what several say of each answer.

    Args:
        sources: Of a recipe.
        device: Where reward models go.
        size: Most answers that one reads at once.
    """

    def __init__(self, sources: Sequence[RewardSource], *, device: torch.device, size: int) -> None:
        self.parts: list[tuple[float, BundleGrade | FunctionGrade]] = []
        for source in sources:
            if source.bundle is not None:
                own = BundleGrade(source.bundle, device=device, size=size)
                self.parts.append((source.weight, own))
            else:
                self.parts.append((source.weight, FunctionGrade(str(source.function))))

    def __call__(self, answers: Sequence[Answered]) -> list[float]:
        """See `Grade`."""
        totals = [0.0] * len(answers)
        for weight, grade in self.parts:
            totals = [t + weight * r for t, r in zip(totals, grade(answers), strict=True)]
        return totals


def _columns(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a record has beside its messages, what `meta` holds among it."""
    meta = record.get("meta")
    own = {key: value for key, value in record.items() if key not in ("messages", "meta")}
    return own | (dict(meta) if isinstance(meta, Mapping) else {})


def _plain(record: Mapping[str, Any]) -> list[Any]:
    """The messages of a record up to its question."""
    messages = list(record["messages"])
    return messages[:-1] if messages[-1].get("role") == "assistant" else messages


def _is_number(reward: object) -> bool:
    is_real = isinstance(reward, int | float) and not isinstance(reward, bool)
    return is_real and bool(torch.tensor(float(reward)).isfinite())  # type: ignore[arg-type]
