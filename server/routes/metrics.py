"""`GET /metrics`: what the service measured, for Prometheus.

Does not measure; `metrics` does. The door asks for a key.
"""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

router = APIRouter()


@router.get("/metrics", include_in_schema=False)
def show_metrics(request: Request) -> Response:
    """Counters, gauges and histograms in Prometheus' text format."""
    content = request.app.state.metrics.exposition()
    return Response(content, media_type=CONTENT_TYPE_PLAIN_0_0_4)
