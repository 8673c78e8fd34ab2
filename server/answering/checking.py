"""Applies safety checks: to a request before it is answered, to its answers on their way out.

Does not judge; `safety` holds the checks, which may block and therefore run on threads.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio.to_thread

from anymal.engine.events import Failed, Finished, Likelihoods, Score, TextDelta, TokenCounts
from anymal.engine.prompt import Prompt
from anymal.protocol.conversation import Conversation, PromptEmbedsPart, TextPart
from anymal.protocol.explain import BodyProblem
from anymal.protocol.requests import ChatCompletionRequest
from server.answering.answers import Guard, Piece, Withheld
from server.answering.sentences import Sentences
from server.errors import BadRequest, ContentRefused
from server.safety import Checks, Refusal


async def check_request(checks: Checks, request: ChatCompletionRequest) -> None:
    """Refuse what may not be asked.

    Args:
        checks: The service's.
        request: What was asked, and how.

    Raises:
        ContentRefused: If a check refuses the words of a message, or a medium.
        BadRequest: If log-probabilities are requested: they would show unchecked words.
    """
    if request.logprobs and (checks.has_sentence_checks or checks.has_exchange_checks):
        message = "logprobs are not available here, because answers are checked; leave logprobs out"
        raise BadRequest(
            BodyProblem(message=message, param="logprobs", code="unsupported_parameter")
        )
    # They are valid; to check very many once more would hold up the event loop.
    conversation = Conversation.model_construct(messages=request.messages)
    await check_conversation(checks, conversation)


async def check_conversation(checks: Checks, conversation: Conversation) -> None:
    """Refuse a conversation by its words and media.

    Raises:
        ContentRefused: If a check does.
    """
    if not checks.has_input_checks:
        return
    await anyio.to_thread.run_sync(_apply, checks, conversation)


async def check_answers(checks: Checks, answers: Sequence[str], *, place: str = "answers") -> None:
    """Refuse given answers, or whatever else stands at `place`, by their words.

    Raises:
        ContentRefused: If a check does.
    """
    if checks.has_input_checks:
        await anyio.to_thread.run_sync(_apply_to_answers, checks, answers, place)


def _apply_to_answers(checks: Checks, answers: Sequence[str], place: str) -> None:
    """Raise the first refusal of an answer."""
    for index, answer in enumerate(answers):
        if answer and (refusal := checks.prompt(answer)) is not None:
            raise _refused(refusal, f"{place}.{index}")


def _apply(checks: Checks, conversation: Conversation) -> None:
    """Raise the first refusal of a conversation, message by message."""
    for index, message in enumerate(conversation.messages):
        place = f"messages.{index}"
        text = "\n".join(part.text for part in message.parts if isinstance(part, TextPart))
        if text and (refusal := checks.prompt(text)) is not None:
            raise _refused(refusal, place)
        for number, part in enumerate(message.parts):
            # A caller's own soft tokens are no medium that a check could look at.
            if isinstance(part, TextPart | PromptEmbedsPart):
                continue
            if (refusal := checks.medium(part)) is not None:
                raise _refused(refusal, f"{place}.content.{number}")


def _refused(refusal: Refusal, place: str) -> ContentRefused:
    error = ContentRefused(f"{refusal.check}: {refusal.message}")
    error.place = place
    return error


def guard_for(checks: Checks, conversation: Conversation, prompt: Prompt) -> Guard:
    """The guard that the pieces of a request's answers pass on their way out.

    Args:
        checks: The service's.
        conversation: What was asked.
        prompt: The same, for counts of an answer that is cut.

    Returns:
        The guard; it holds back unfinished sentences where sentences are checked, and everything
        where answers are checked as a whole.
    """
    if not (checks.has_sentence_checks or checks.has_exchange_checks):
        return pass_on
    growing: dict[int, _Answer] = {}
    judge = _Judge(checks=checks, conversation=conversation, prompt=prompt)

    async def guard(piece: Piece) -> list[Piece]:
        answer = growing.setdefault(piece.index, _Answer())
        return await anyio.to_thread.run_sync(judge.next_pieces, answer, piece)

    return guard


async def pass_on(piece: Piece) -> list[Piece]:
    """Nothing is checked, nothing held back."""
    return [piece]


@dataclass(slots=True)
class _Answer:
    """One answer on its way out."""

    sentences: Sentences = field(default_factory=Sentences)
    passed: list[str] = field(default_factory=list)
    num_pieces: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judge:
    """Decides what of an answer may leave."""

    checks: Checks
    conversation: Conversation
    prompt: Prompt

    def next_pieces(self, answer: _Answer, piece: Piece) -> list[Piece]:
        """What may leave now that this piece came; blocks."""
        match piece.event:
            case TextDelta(text=text):
                answer.num_pieces += 1
                return self._sentences(answer, piece.index, answer.sentences.add(text))
            case Finished(counts=counts):
                rest = [text] if (text := answer.sentences.rest()) else []
                out = self._sentences(answer, piece.index, rest)
                if out and out[-1].is_last:
                    return out
                return self._whole(answer, piece, counts, out)
            case Failed() | Withheld() | Likelihoods() | Score():
                return [piece]

    def _sentences(self, answer: _Answer, index: int, sentences: list[str]) -> list[Piece]:
        """Let whole sentences out, up to the first that is refused."""
        out: list[Piece] = []
        for sentence in sentences:
            if (refusal := self.checks.sentence(sentence)) is not None:
                return [*out, self._withheld(index, refusal, self._counts(answer))]
            answer.passed.append(sentence)
            if not self.checks.has_exchange_checks:
                out.append(Piece(index=index, event=TextDelta(text=sentence)))
        return out

    def _whole(
        self, answer: _Answer, last: Piece, counts: TokenCounts, out: list[Piece]
    ) -> list[Piece]:
        """Let the end out; where whole answers are checked, all that comes before it too."""
        if not self.checks.has_exchange_checks:
            return [*out, last]
        text = "".join(answer.passed)
        if (refusal := self.checks.exchange(self.conversation, text)) is not None:
            return [self._withheld(last.index, refusal, counts)]
        delta = [Piece(index=last.index, event=TextDelta(text=text))] if text else []
        return [*delta, last]

    def _counts(self, answer: _Answer) -> TokenCounts:
        """The token counts of an answer that is cut before its end."""
        return TokenCounts(
            prompt=len(self.prompt), completion=answer.num_pieces, by_kind=self.prompt.counts()
        )

    def _withheld(self, index: int, refusal: Refusal, counts: TokenCounts) -> Piece:
        message = f"{refusal.check}: {refusal.message}"
        return Piece(index=index, event=Withheld(message=message, counts=counts))
