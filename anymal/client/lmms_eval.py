"""`--model anymal` of lmms-eval: puts its tasks to a running service. Only lmms-eval imports this.

Does not load a model and does not score. Media are sent whole. Written for lmms-eval 0.7.3, whose
plug-ins are entry points of the group `lmms_eval.models`.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from lmms_eval.api.instance import GenerationResult, TokenCounts
from lmms_eval.api.model import lmms
from lmms_eval.models.registry_v2 import ModelManifest
from tqdm import tqdm

from anymal.client.client import Client
from anymal.client.lmms_media import parts_of
from anymal.errors import AnymalError
from anymal.protocol.conversation import Message, TextPart
from anymal.protocol.responses import AnswerLikelihood
from anymal.protocol.sizes import MAX_ANSWERS

logger = logging.getLogger(__name__)

Task = TypeVar("Task")
Result = TypeVar("Result")

# The names of a setting: in lmms-eval, and in the service.
_SETTINGS = {
    "max_new_tokens": "max_tokens",
    "max_gen_toks": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "until": "stop",
}
# A full service refuses requests until it has room again, which is no failure: try again.
_RETRIES = 8


class RequestFailed(SystemExit):
    """A request failed, so that there is no score.

    Not an `Exception`: lmms-eval prints those and ends as if all were well.
    """


def manifest() -> ModelManifest:
    """What lmms-eval reads of the entry point."""
    # Likelihood tasks are for models that take a prompt and its media, which it calls simple.
    return ModelManifest(model_id="anymal", simple_class_path=f"{__name__}.AnyMAL")


class AnyMAL(lmms):  # type: ignore[misc]  # lmms-eval is no dependency
    """A running AnyMAL service."""

    is_simple = True

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        model: str | None = None,
        num_concurrent: int = 16,
        timeout: float = 120.0,
        per_token: bool = False,
        transport: Any = None,
        batch_size: int = 1,
        max_batch_size: int | None = None,
        device: str | None = None,
    ) -> None:
        """Opens no connection yet.

        Args:
            base_url: The service; by default `ANYMAL_BASE_URL`, else http://127.0.0.1:8000.
            api_key: Its key; by default `ANYMAL_API_KEY`.
            model: A served model; None takes the service's first.
            num_concurrent: Requests in flight.
            timeout: Seconds to wait for the next bytes of an answer.
            per_token: Compare choices by the mean of their tokens' log-probabilities, not the sum.
            transport: Carries the requests, for tests.
            batch_size: Of lmms-eval; without effect, because the service batches.
            max_batch_size: Likewise.
            device: Likewise.
        """
        super().__init__()
        self._client = Client(
            base_url=base_url,
            api_key=api_key,
            timeout=timeout,
            max_retries=_RETRIES,
            transport=transport,
        )
        self._model = model
        self._num_concurrent = num_concurrent
        self._per_token = per_token
        self._told: set[str] = set()

    def generate_until(self, requests: Sequence[Any]) -> list[GenerationResult]:
        """Answer questions.

        Args:
            requests: Their `args` are (text, settings, media of a document, document, task, split).

        Returns:
            The answers in their order.

        Raises:
            RequestFailed: One has none.
        """

        def answer(request: Any) -> GenerationResult:
            text, settings, *where = request.args
            options: Any = self._options(settings)
            said = self._client.chat([self._message(text, *where)], model=self._model, **options)
            usage = said.usage
            counts = TokenCounts(
                input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens
            )
            return GenerationResult(text=said.text, token_counts=counts)

        return self._all(answer, requests)

    def loglikelihood(self, requests: Sequence[Any]) -> list[GenerationResult]:
        """Tell how likely given answers are.

        Args:
            requests: Their `args` are (text, answer, media of a document, document, task, split).

        Returns:
            For each, a number and whether the model would say just this. lmms-eval takes the choice
            with the least number, so that of a choice is the negative log-likelihood. Where the
            answer is the document's own, it takes the log-likelihood. Each pair is wrapped as an
            answer is, because 0.7.3 makes a string of anything else, which its scores cannot read.

        Raises:
            RequestFailed: One has no answer.
        """
        groups: dict[Any, list[int]] = {}  # requests that differ in the answer alone
        for place, request in enumerate(requests):
            if len(request.args) != 6:
                raise RequestFailed("acc_mutual_info asks without a medium, which is not supported")
            text, answer, _, *where = request.args
            groups.setdefault((text, callable(answer), *where), []).append(place)

        def grade(places: Sequence[int]) -> list[GenerationResult]:
            text, answer, *where = requests[places[0]].args
            message = self._message(text, *where)
            given = [requests[place].args[1] for place in places]
            if callable(answer):
                given = [str(each(self._document(*where[1:]))) for each in given]
            sign = 1 if callable(answer) else -1
            return [
                GenerationResult(text=(sign * self._score(each), each.is_greedy))
                for start in range(0, len(given), MAX_ANSWERS)  # more are refused at once
                for each in self._client.likelihood(
                    [message], given[start : start + MAX_ANSWERS], model=self._model
                ).answers
            ]

        found: dict[int, GenerationResult] = {}
        for places, rows in zip(
            groups.values(), self._all(grade, list(groups.values())), strict=True
        ):
            found |= dict(zip(places, rows, strict=True))
        return [found[place] for place in range(len(requests))]

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Not supported.

        Raises:
            RequestFailed: Always.
        """
        raise RequestFailed("--model anymal answers no tasks of several rounds; leave them out")

    def _score(self, found: AnswerLikelihood) -> float:
        return found.per_token if self._per_token else found.sum

    def _all(self, work: Callable[[Task], Result], tasks: Sequence[Task]) -> list[Result]:
        """Do all, some at a time; the first failure ends them."""
        with ThreadPoolExecutor(max_workers=self._num_concurrent) as pool:
            try:
                done: Iterable[Result] = pool.map(work, tasks)
                return list(tqdm(done, total=len(tasks), desc="anymal"))
            except AnymalError as error:
                pool.shutdown(wait=False, cancel_futures=True)
                raise RequestFailed(f"--model anymal: {error}") from error

    def _message(
        self, text: str, media_of: Callable[[Any], Any], document: Any, task: str, split: str
    ) -> Message:
        """A question: the media of its document, then its words."""
        media = media_of(self._document(document, task, split)) or []
        parts = [part for medium in media for part in parts_of(medium)]
        return Message(role="user", content=[*parts, TextPart(text=text)])

    def _document(self, document: Any, task: str, split: str) -> Any:
        return self.task_dict[task][split][document]

    def _options(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Translate a task's settings for the service; log, once each, those that it lacks."""
        given = {name: value for name, value in settings.items() if value is not None}
        is_greedy = not given.pop("do_sample", "temperature" in given)
        options = {_SETTINGS[name]: given.pop(name) for name in _SETTINGS if name in given}
        if is_greedy:
            options["temperature"] = 0.0
        if unused := set(given) - self._told:
            self._told |= unused
            logger.warning("settings without effect: %s", ", ".join(sorted(unused)))
        return options
