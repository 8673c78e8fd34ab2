"""The figures of one evaluation, as JSON holds them for the report and the model card.

Does not compute them; see `runner.py`. Shares are between 0 and 1; targets and references are
percentages.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from anymal.errors import DataError
from anymal.evaluation.intervals import Difference, Share

RIGHT = "right"  # the figure of tasks without metrics
REPORT = "report.json"  # in a folder that an evaluation is written to


class _Figures(BaseModel):
    """Frozen; a key that is not declared is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Compared(_Figures):
    """What another bundle answered to the same questions."""

    score: Share = Field(description="The other bundle's right answers.")
    gain: Difference = Field(description="This bundle minus the other one, paired by question.")


class Perturbed(_Figures):
    """The same questions about media that were changed a little."""

    score: Share = Field(description="Right answers about the changed media.")
    change: Difference = Field(description="Changed minus true media, paired by question.")


class TaskResult(_Figures):
    """One row of the table."""

    name: str
    note: str = Field("", description="What is asked, about what.")
    modalities: list[str] = Field(description="Part types of the media in the questions.")
    metric: str = Field(RIGHT, description="What the score is: its name, with the variant.")
    score: Share = Field(description="Right answers, or the task's first metric.")
    figures: dict[str, Share] = Field(
        default_factory=dict, description="Further metrics of the same answers, by name."
    )
    num_media: int | None = Field(
        None, description="Different media; fewer than questions means that media were resampled."
    )
    chance: float = Field(description="Mean of 1 / choices; the majority where there are none.")
    prior: float = Field(
        description="Guessing from the question: the most frequent answer to its kind elsewhere."
    )
    controls: dict[str, Share] = Field(
        description="Right answers with other media: blank, swapped, of a wrong kind, one left out."
    )
    follows_donor: Share | None = Field(
        None,
        description="Swapped media, same question: answers that are right for the swapped medium.",
    )
    share: dict[str, Share] = Field(
        default_factory=dict,
        description="By modality: answers that change without a medium, or with a blank only one.",
    )
    perturbed: dict[str, Perturbed] = Field(
        default_factory=dict, description="By perturbation; see `anymal.evaluation.perturb`."
    )
    hygiene: dict[str, Share] = Field(
        default_factory=dict,
        description="Answers that hit the token limit, are empty, or echo the question.",
    )
    confusion: dict[str, dict[str, dict[str, int]]] = Field(
        default_factory=dict,
        description="By kind of question: right choice to named choice to number of answers.",
    )
    breakdown: dict[str, Share] = Field(description="By kind of question, else by right answer.")
    words: list[str] = Field(description="The choices that the task's answers name.")
    example: str = Field(description="One question with the model's answer.")
    prompt: str = Field("", description="The first question as the language model reads it.")
    target: float | None = Field(None, description="Accuracy to reach, in percent.")
    reference: float | None = Field(None, description="A plain supervised network, in percent.")
    compared: Compared | None = None

    @property
    def baseline(self) -> float:
        """What guessing without the medium can reach: the better of chance and prior."""
        return max(self.chance, self.prior)

    @property
    def is_target_met(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        return None if self.target is None else 100 * self.score.accuracy >= self.target

    def relies_on_media(self, control: str) -> bool:
        """Whether a control is no better than guessing, within its 95% interval."""
        return self.controls[control].low <= self.baseline


class Results(_Figures):
    """One evaluation of one bundle."""

    bundle: str = Field(description="What was evaluated.")
    digest: str = Field("", description="SHA-256 of the bundle's files.")
    versions: dict[str, str] = Field(
        default_factory=dict, description="Versions of what computed the answers."
    )
    compared_with: str | None = Field(None, description="The other bundle.")
    settings: dict[str, Any] = Field(description="What another run needs to get the same figures.")
    tasks: list[TaskResult]
    skipped: dict[str, str] = Field(default_factory=dict, description="Task to reason.")

    def write(self, path: Path) -> None:
        """Write the figures as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Results":
        """Read figures that `write` wrote.

        Raises:
            DataError: If the file is missing or holds something else.
        """
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise DataError(f"cannot read the results {path}: {error.strerror}") from None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(step) for step in first["loc"])
            raise DataError(
                f"{path} does not hold results of this version: {place}: {first['msg']}; "
                "run `anymal eval ... --out` again"
            ) from None
