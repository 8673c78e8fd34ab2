"""A bundle to a loaded backend.

Does not know requests. Imports torch: `app` imports it late, on the loading thread.
"""

from functools import partial

from anymal.assistant import load
from server.settings import Settings
from server.worker import Backend


def load_backend(settings: Settings) -> Backend:
    """Load the bundle of the settings and start its engine.

    Raises:
        BundleError: If the bundle is missing, damaged or does not fit.
    """
    assistant = load(
        settings.bundle,
        device=settings.device,
        precision=settings.precision,
        max_waiting=settings.max_requests,
    )
    return Backend(
        name=assistant.name,
        modalities=tuple(assistant.processor.modalities),
        process=partial(assistant.processor, generate=True),
        soften=assistant.soft_tokens.prompt,
        engine=assistant.engine,
        close=assistant.close,
    )
