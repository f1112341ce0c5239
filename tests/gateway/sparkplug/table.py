"""How the specification's statements stand after test_assertions.py: numbers, and with -v a table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

_TABLE = Path(__file__).parent / "assertions.json"
_HERE = "sparkplug/test_assertions.py::test_assertion["


def show(terminalreporter: pytest.TerminalReporter) -> None:
    """Nothing where test_assertions.py did not run."""
    outcome: dict[str, str] = {}
    for word in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(word, []):
            if _HERE in report.nodeid:
                outcome[report.nodeid.split("[")[1].rstrip("]")] = word
    if not outcome:
        return
    table = json.loads(_TABLE.read_text())
    rows = []
    for full, row in table["ids"].items():
        if row["status"] == "covered":
            rows.append((f"covered, {outcome.get(full, 'not run')}", full, row["check"]))
        else:
            rows.append((row["status"], full, row["reason"]))
    terminalreporter.section(f"{table['specification']}: {table['count']} normative statements")
    for status in sorted({row[0] for row in rows}):
        found = [row for row in rows if row[0] == status]
        terminalreporter.write_line(f"{len(found):4} {status}")
        if terminalreporter.verbosity > 0 or status == "not covered":
            for _, full, told in found:
                terminalreporter.write_line(f"       {full}: {told}")
