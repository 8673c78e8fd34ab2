"""Requests that are nearly right are answered or refused in words; the service never fails."""

import logging

import httpx
import pytest

from tests.server.fuzz_requests import requests


@pytest.mark.slow
def test_damaged_requests_are_answered_or_refused(
    http: httpx.Client, pytestconfig: pytest.Config, caplog: pytest.LogCaptureFixture
) -> None:
    faults = []
    with caplog.at_level(logging.INFO):
        for place, request in requests(pytestconfig.getoption("fuzz_cases") // 5):
            response = http.send(request)
            if (fault := fault_of(response)) is not None:
                faults.append(
                    f"request {place} to {request.url.path}: {fault}; {request.content!r}"
                )
            faults += [
                f"request {place} left in the log: {record.exc_text or record.getMessage()}"
                for record in caplog.records
                if record.exc_info or "Traceback" in record.getMessage()
            ]
            caplog.clear()
    assert not faults, "\n".join(
        [f"{len(faults)} faults", *(fault[:2000] for fault in faults[:20])]
    )


def fault_of(response: httpx.Response) -> str | None:
    """What is wrong with a response; None for an answer, or for an error in our shape."""
    if response.status_code == 200:
        is_broken = '"error"' in response.text or "Traceback" in response.text
        return response.text if is_broken else None
    if not 400 <= response.status_code < 500:
        return f"status {response.status_code}: {response.text}"
    try:
        error = response.json()["error"]
        is_whole = set(error) == {"message", "type", "param", "code"} and error["message"]
    except (ValueError, KeyError, TypeError):
        is_whole = False
    is_told = is_whole and " at 0x" not in response.text and "Traceback" not in response.text
    return None if is_told else f"no error that a person can read: {response.text}"
