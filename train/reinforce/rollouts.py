"""The feed of a stage that learns from rewards: rollouts, each for some optimiser steps.

The first micro-batch of a rollout is asked for once the steps of the one before are done, so that
the policy answers as it then is. A rollout depends on its number and on the weights alone, so that
a run can be resumed between rollouts. Takes no step (see `train.stage`).
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Self

import numpy as np

from anymal.engine.sampling import Sampling
from anymal.errors import AnymalError, DataError
from anymal.objectives.readouts import VALUE
from anymal.objectives.reinforce import Reinforce
from anymal.recipe.reinforce import ReinforceRecipe
from train.data.layout import MicroBatch
from train.data.sampler import Draw
from train.metrics import StepMetrics
from train.passes import Passes, sampler_of
from train.reference import digest_of
from train.reinforce.answers import Answered, Prompted, answers_to
from train.reinforce.experience import experiences, facts_about, measured
from train.reinforce.rewards import BundleGrade, Grades
from train.stage_run import StageRun
from train.start_weights import AtStart, read_start, start_weights, write_start


class Rollouts:
    """Gives a stage its micro-batches, and its objective what is known of their answers.

    Args:
        run: The run; unless it is resumed, the model has the weights of the stage's start.
        number: Index of the stage.
        passes: How its samples go through the model.
        began_with: Of a stage that is resumed after its start, the digest of the weights that it
            began with.

    Attributes:
        began_with: That digest.

    Raises:
        TrainingError: A reward cannot be had, or the weights of the start are gone.
    """

    def __init__(
        self, run: StageRun, number: int, passes: Passes, *, began_with: str | None
    ) -> None:
        self._run, self._number, self._passes = run, number, passes
        self._stage = run.recipe.stages[number]
        assert isinstance(self._stage.objective, ReinforceRecipe), self._stage.objective
        assert isinstance(passes.objective, Reinforce), passes.objective
        self._recipe, self._objective = self._stage.objective, passes.objective
        model = run.assembled.model
        self._grades = Grades(self._recipe.rewards, device=model.device, size=passes.size)
        if began_with is None:
            self._take_values()
        self.began_with = began_with or digest_of(model)
        path = run.folder.start(self._stage.name)
        if began_with is None:
            write_start(path, start_weights(model), digest=self.began_with)
        self._at_start = AtStart(read_start(path, model, digest=self.began_with))
        self._sampler = sampler_of(run, number)
        self._facts: dict[str, float] = {}
        self._micro_batches: Iterator[MicroBatch] = iter(())

    def starting_at(self, step: int) -> Self:
        """The feed from an optimiser step on, which begins a rollout."""
        assert self.is_between(step), step
        self._micro_batches = self._all_from(step // self._recipe.steps)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._objective.known = {}

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> MicroBatch:
        return next(self._micro_batches)

    def is_between(self, step: int) -> bool:
        """Whether no rollout is only partly learnt from after this step."""
        return step % self._recipe.steps == 0

    def told(self, metrics: StepMetrics) -> StepMetrics:
        """The metrics of a step, with what is known of its rollout."""
        return replace(metrics, measures={**(metrics.measures or {}), **self._facts})

    def _take_values(self) -> None:
        """Begin values with the read-out of the reward model, where the recipe says so."""
        value = self._recipe.value
        if value is None or not value.from_reward:
            return
        first = self._grades.parts[0][1]
        assert isinstance(first, BundleGrade), "the recipe is checked"
        self._run.assembled.model.readouts[VALUE].load_state_dict(dict(first.read_out))

    def _all_from(self, first: int) -> Iterator[MicroBatch]:
        """The micro-batches of one rollout after the other, without end."""
        for number in count(first):
            answers = self._rollout(number)
            for learnt in range(self._recipe.passes):
                key = [self._run.recipe.seed, self._number, number, learnt]
                order = np.random.default_rng(key).permutation(len(answers))
                yield from self._cut([answers[place] for place in order])

    def _cut(self, answers: Sequence[Answered]) -> Iterator[MicroBatch]:
        """The micro-batches of some batches."""
        samples, batch_size = [answer.sample for answer in answers], self._stage.batch_size
        for first in range(0, len(samples), batch_size):
            batch = samples[first : first + batch_size]
            for start in range(0, len(batch), self._passes.size):
                yield MicroBatch.of(batch[start : start + self._passes.size], self._passes.layout)

    def _rollout(self, number: int) -> list[Answered]:
        """Answer, grade, and tell the objective what is known."""
        recipe, stage, run = self._recipe, self._stage, self._run
        num_prompts = stage.batch_size * stage.accumulate * recipe.batches // recipe.samples
        places = range(number * num_prompts, (number + 1) * num_prompts)
        prompts = [self._prompt(self._sampler.draw(place)) for place in places]
        answers = answers_to(
            [prompt for prompt in prompts for _ in range(recipe.samples)],
            [self._sampling(place, k) for place in places for k in range(recipe.samples)],
            model=run.assembled.model,
            processor=run.assembled.processor,
            name=f"rollout {number + 1}",
        )
        scores = self._grades(answers)
        read = measured(run.assembled.model, answers, self._passes, self._at_start)
        self._objective.known = experiences(recipe, answers, scores, read)
        self._facts = facts_about(answers, scores, read)
        return answers

    def _prompt(self, draw: Draw) -> Prompted:
        """A record, processed to be answered."""
        source = self._run.data[self._number].training[draw.source]
        where, conversation = source.where(draw.record), source.read(draw.record)
        try:
            sample = self._run.assembled.processor(
                conversation, base_dir=source.base_dir, generate=True
            )
        except AnymalError as error:
            raise DataError(f"{where}: {error}") from error
        return Prompted(
            record=source.records[draw.record],
            conversation=conversation,
            sample=sample,
            base_dir=source.base_dir,
            where=where,
        )

    def _sampling(self, place: int, answer: int) -> Sampling:
        """How one answer is drawn: each by a seed of its own."""
        key = f"{self._run.recipe.seed} {self._number} {place} {answer}"
        seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big")
        return Sampling(
            max_tokens=self._recipe.max_new_tokens,
            temperature=self._recipe.temperature,
            seed=seed,
        )
