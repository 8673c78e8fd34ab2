"""What operators watch: whether the service lives, whether it is ready, and its metrics.

Does not measure; `server.metrics` does.
"""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from anymal.protocol.responses import ErrorBody
from server.routes.dependencies import TheWorker

router = APIRouter()


@router.get("/health", include_in_schema=False)  # where load balancers of other servers look
@router.get("/healthz")
async def health() -> dict[str, str]:
    """200 while the process lives."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"model": ErrorBody}})
async def readiness(worker: TheWorker) -> dict[str, str]:
    """200 once a model is loaded; 503 before that, and while the service shuts down."""
    return {"status": "ready", "model": worker.models.find().name}


@router.get("/metrics", include_in_schema=False)
def show_metrics(request: Request) -> Response:
    """Counters, gauges and histograms in Prometheus' text format."""
    content = request.app.state.metrics.exposition()
    return Response(content, media_type=CONTENT_TYPE_PLAIN_0_0_4)
