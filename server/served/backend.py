"""A bundle to a loaded backend.

Does not know requests. Imports torch: `app` imports it late, on the loading thread.
"""

from collections.abc import Callable
from functools import partial

from anymal.bundle.parts import ANYWHERE, Reach
from anymal.chat.given import GivenAnswers
from anymal.decoding.medium import Decode
from anymal.engine.build import build_engine
from anymal.engine.stats import Step
from anymal.media.budget import Budget, RequestLimits
from anymal.objectives.readouts import REWARD
from anymal.processor import Processor
from anymal.protocol.conversation import Conversation
from anymal.recipe.reward import grading_of
from anymal.sample import Sample
from anymal.serving.assistant import name_of
from anymal.serving.precision import load_to_answer
from anymal.serving.soft_tokens import SoftTokens
from server.answering.stopping import check_stopped
from server.served.models import Backend
from server.served.shared_engines import SharedEngines
from server.settings import Settings


def load_backend(
    settings: Settings,
    *,
    engines: SharedEngines | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> Backend:
    """Load the bundle of the settings and start its engine, or join one that runs its model.

    Args:
        settings: Say which, and how much memory it may take.
        engines: Those of the other bundles.
        on_step: Called after each step of the engine, on its thread.

    Returns:
        The backend.

    Raises:
        BundleError: If the bundle is missing, damaged or does not fit.
    """
    engines = engines or SharedEngines()
    assembled = load_to_answer(
        settings.bundle,
        precision=settings.precision,
        merge_lora=settings.merge_lora,
        device=settings.device,
        reach=Reach(allow_hub=settings.allow_hub, local_models=settings.local_models or ANYWHERE),
    )
    start = partial(
        build_engine,
        assembled.model.llm,
        side=assembled.model.side,
        stop_ids=assembled.model.stop_ids,
        max_tokens=assembled.processor.max_tokens,
        max_waiting=settings.max_requests,
        cache_bytes=settings.kv_cache_bytes,
        on_step=on_step,
    )
    engine = engines.join(assembled, start)
    soft_tokens = SoftTokens(assembled.model, cache_bytes=settings.soft_token_bytes)

    has_reward = REWARD in assembled.model.readouts
    grading = grading_of(assembled.model_recipe) if has_reward else None

    def close() -> None:
        engines.leave(engine)
        soft_tokens.close()

    return Backend(
        name=name_of(settings.bundle),
        modalities=tuple(assembled.processor.modalities),
        to_sample=partial(_to_sample, assembled.processor),
        to_prompt=soft_tokens.prompt,
        engine=engine,
        close=close,
        needs_media=assembled.processor.needs_media,
        reads_text=frozenset(
            name
            for name, own in assembled.processor.modalities.items()
            if own.vocabulary is not None
        ),
        grading=grading,
        read_reward=None if grading is None else assembled.model.readouts[REWARD],
        soft_token_stats=soft_tokens.stats,
    )


def _to_sample(
    processor: Processor,
    conversation: Conversation,
    decode: Decode,
    answers: GivenAnswers | None = None,
    *,
    generate: bool = True,
) -> Sample:
    budget = Budget(RequestLimits(), check=check_stopped)
    return processor.decoding_by(decode)(
        conversation, generate=generate, budget=budget, answers=answers
    )
