"""What is measured, and that labels hold nothing of the callers'."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from anymal.decoding.pool import REASONS, DecoderStats
from anymal.engine.stats import EngineStats, Step
from server.edge.request_facts import CURRENT_REQUEST, RequestRecord
from server.metrics import Metrics

CHAT = "/v1/chat/completions"


def samples(text: str) -> dict[str, float]:
    """Every sample by its name and labels."""
    return {
        sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def seen(metrics: Metrics) -> dict[str, float]:
    return samples(metrics.exposition().decode())


def test_apps_do_not_share_their_counters() -> None:
    first, second = Metrics(), Metrics()
    first.error("queue_full")
    assert seen(first)["anymal_errors_total type=queue_full"] == 1
    assert "anymal_errors_total type=queue_full" not in seen(second)


def test_times_tokens_and_steps() -> None:
    metrics = Metrics()
    metrics.first_token(0.2)
    metrics.next_token(0.01)
    metrics.next_token(0.03)
    metrics.tokens("image", 32)
    metrics.tokens("completion", 5)
    metrics.step(Step(num_sequences=4, num_tokens=40, seconds=0.02))
    found = seen(metrics)
    assert found["anymal_first_token_seconds_sum"] == pytest.approx(0.2)
    assert found["anymal_next_token_seconds_count"] == 2
    assert found["anymal_next_token_seconds_bucket le=0.025"] == 1
    assert found["anymal_tokens_total kind=image"] == 32
    assert found["anymal_step_sequences_sum"] == 4
    assert found["anymal_step_tokens_bucket le=64.0"] == 1
    assert found["anymal_step_seconds_sum"] == pytest.approx(0.02)


def test_engine_is_read_when_asked() -> None:
    metrics, stats = Metrics(), None

    def read() -> EngineStats | None:
        return stats

    metrics.watch(read)
    assert seen(metrics)["anymal_queue_waiting"] == 0
    stats = EngineStats(
        waiting=3, running=2, cache_bytes_used=7, prefix_tokens_hit=5, preemptions=1
    )
    found = seen(metrics)
    assert found["anymal_queue_waiting"] == 3
    assert found["anymal_queue_running"] == 2
    assert found["anymal_cache_bytes_used"] == 7
    assert found["anymal_prefix_tokens_hit_total"] == 5
    assert found["anymal_preemptions_total"] == 1


def test_caches_of_soft_tokens_are_added_up() -> None:
    metrics = Metrics()
    one = SimpleNamespace(hits=3, misses=1, bytes_used=10, bytes_total=100)
    metrics.watch(lambda: None, lambda: [one, one])
    found = seen(metrics)
    assert found["anymal_soft_token_hits_total"] == 6
    assert found["anymal_soft_token_misses_total"] == 2
    assert found["anymal_soft_token_bytes_used"] == 20
    assert found["anymal_soft_token_bytes_total"] == 200


def test_tokens_and_errors_of_a_request_are_kept_for_its_line() -> None:
    metrics, record = Metrics(), RequestRecord(request_id="seven")
    token = CURRENT_REQUEST.set(record)
    try:
        metrics.tokens("text", 3)
        metrics.tokens("text", 4)
        metrics.error("queue_full")
        assert "anymal_errors_total type=queue_full" not in seen(metrics)
    finally:
        CURRENT_REQUEST.reset(token)
    assert (record.tokens, record.error) == ({"text": 7}, "queue_full")
    metrics.request(CHAT, 429, 0.1, error=record.error)
    assert seen(metrics)["anymal_errors_total type=queue_full"] == 1


def test_service_counts_what_it_answers(make_http: Callable[..., httpx.Client]) -> None:
    def body(text: str) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": text}]}

    with make_http() as http:
        http.post(CHAT, json=body("hello"))
        http.post(CHAT, json=body("corrupt"))
        http.post(CHAT, json=body("hi # there"))
        http.post(CHAT, json={**body("hi # there"), "stream": True})
        http.get("/nowhere/secret")
        http.get("/v1/models/secret")
        response = http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "secret" not in response.text
    found = samples(response.text)
    assert found[f"anymal_requests_total path={CHAT} status=200"] == 2
    assert found[f"anymal_requests_total path={CHAT} status=400"] == 1
    assert found[f"anymal_requests_total path={CHAT} status=500"] == 1
    assert found["anymal_requests_total path=(none) status=404"] == 1
    assert found["anymal_requests_total path=/v1/models/{model} status=404"] == 1
    assert found[f"anymal_request_seconds_count path={CHAT}"] == 4
    assert found["anymal_errors_total type=media_corrupt"] == 1
    assert found["anymal_errors_total type=internal_error"] == 2
    assert found["anymal_errors_total type=model_not_found"] == 1
    assert found["anymal_first_token_seconds_count"] >= 1
    assert found["anymal_tokens_total kind=completion"] >= len("hello")
    assert found["anymal_queue_running"] == 1  # as the fake engine says


def test_decoding_processes_are_shown_with_every_reason() -> None:
    metrics = Metrics()
    stats = DecoderStats(decodes=9, kills={"memory": 2}, restarts=3, busy=1, workers=2)
    metrics.watch_decoders(lambda: stats)
    found = seen(metrics)
    assert found["anymal_decodes_total"] == 9
    assert found["anymal_decoders_busy"] == 1
    assert found["anymal_decoder_restarts_total"] == 3
    kills = {reason: found[f"anymal_decoder_kills_total reason={reason}"] for reason in REASONS}
    assert kills == {"stopped": 0, "memory": 2, "cpu": 0, "crashed": 0}


def test_a_service_that_decodes_itself_shows_no_processes(
    make_http: Callable[..., httpx.Client],
) -> None:
    assert "anymal_decoders_busy" in make_http().get("/metrics").text
    assert "anymal_decode" not in make_http(decode_workers=0).get("/metrics").text
