"""Which test files take the processor, and which take more than a quick one may.

A plugin that `--processor-time` in `tests/conftest.py` switches on. It also works with workers:
what each test took travels on its reports. Cases marked `slow` are not counted.
"""

import time
from collections import Counter
from collections.abc import Generator
from pathlib import PurePath

import pytest

MOST_S = 8.0
_SHOWN = 5
_KEY = "processor_s"


class ProcessorTime:
    """Adds up processor seconds by file; a file that is not `whole` may take `MOST_S`."""

    def __init__(self) -> None:
        self._before = 0.0
        self._seconds: Counter[str] = Counter()
        self._whole: set[str] = set()

    def too_long(self) -> list[str]:
        """Files that are not `whole` and take more than `MOST_S`."""
        return [
            path
            for path, seconds in self._seconds.most_common()
            if seconds > MOST_S and path not in self._whole
        ]

    def pytest_collection_finish(self) -> None:
        self._before = time.process_time()  # collecting is no file's own

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        now = time.process_time()
        if "slow" not in item.keywords:
            report.user_properties.append((_KEY, now - self._before))
        self._before = now
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        path = PurePath(report.nodeid.partition("::")[0]).as_posix()
        self._seconds[path] += sum(value for name, value in report.user_properties if name == _KEY)
        if "whole" in report.keywords:
            self._whole.add(path)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        is_worker = hasattr(session.config, "workerinput")
        if not is_worker and self.too_long() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("most processor seconds")
        for path, seconds in self._seconds.most_common(_SHOWN):
            terminalreporter.line(f"{seconds:6.1f} {path}")
        for path in self.too_long():
            terminalreporter.line(
                f"FAILED {path}: {self._seconds[path]:.1f} s of processor time, the limit is "
                f"{MOST_S:.0f} s; make it cheaper, mark cases slow, or add it to WHOLE in "
                "tests/conftest.py",
                red=True,
            )
