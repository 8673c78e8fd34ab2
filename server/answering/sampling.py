"""How answers are drawn, from what a request asks for and what the service allows.

Does not draw them; the engine does.
"""

from anymal.engine.sampling import Sampling
from anymal.protocol.explain import BodyProblem
from anymal.protocol.requests import ChatCompletionRequest
from server.errors import BadRequest


def sampling_of(
    request: ChatCompletionRequest, *, default: int, most: int, most_answers: int
) -> Sampling:
    """The options of each answer to a request.

    Args:
        request: Validated.
        default: Tokens of an answer whose request names no limit.
        most: Most tokens of any answer.
        most_answers: How many answers one request may have.

    Raises:
        BadRequest: It asks for more answers.
    """
    if request.n > most_answers:
        message = f"n is {request.n}; this service gives up to {most_answers} answers"
        raise BadRequest(BodyProblem(message=message, param="n", code="too_large"))
    return Sampling(
        # Clients ask for round numbers; an answer that is cut ends with `length`.
        max_tokens=min(request.token_limit or default, most),
        temperature=request.temperature,
        top_p=request.top_p,
        min_p=request.min_p,
        top_k=max(0, request.top_k),
        repetition_penalty=request.repetition_penalty,
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
        stop=request.stop_strings,
        ignore_eos=request.ignore_eos,
        stop_repetition=request.stop_repetition,
        logprobs=request.num_logprobs,
        seed=request.seed,
    )
