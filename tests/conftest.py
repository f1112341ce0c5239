"""For all tests: no duration is asserted, hypothesis's own included, as machines are noisy.

At the end the tests of the Board port are counted by kind of board (harness/fieldline_harness/contracts.py), and the
statements of Sparkplug's specification. Here, as the process that prints loads no other conftest.py where tests run
in several.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from fieldline_harness.contracts import count, table
from tests.gateway.sparkplug.table import show

settings.register_profile("fieldline", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fieldline")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    show(terminalreporter)
    found = count(_outcomes(terminalreporter))
    if any(found.values()):
        terminalreporter.section("the Board port, by kind of board")
        for line in table(found):
            terminalreporter.write_line(line)


def _outcomes(terminalreporter: pytest.TerminalReporter) -> Iterator[tuple[str, str, str, str]]:
    """(module, test, outcome, reason) of all tests that ended."""
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            path, _, name = report.nodeid.partition("::")
            if name:
                reason = (
                    report.longrepr[2] if outcome == "skipped" and isinstance(report.longrepr, tuple) else ""
                )
                yield path.removesuffix(".py").replace("/", "."), name, outcome, reason
