"""The threats of docs/security.md: the table's lines, each with the tests that it names.

Rules: a line counts as tested when each of its tests ran and passed; skipped is not passed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fieldline_harness.pytest_report import Outcome

DOCUMENT = "docs/security.md"
_LINE = re.compile(r"\| ([A-Z]\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|")
_TEST = re.compile(r"`([^`]+)`")


@dataclass(frozen=True, slots=True)
class Threat:
    """One line."""

    name: str
    attack: str
    defence: str
    tests: tuple[str, ...]
    """pytest's node ids; one without parameters stands for all of them."""


def threats(root: Path) -> list[Threat]:
    """The lines in their order."""
    found = _LINE.findall((root / DOCUMENT).read_text())
    return [
        Threat(name, attack, defence, tuple(_TEST.findall(tests))) for name, attack, defence, tests in found
    ]


def untested(of: Iterable[Threat], outcomes: Iterable[Outcome]) -> dict[str, str]:
    """By the name of a line why it does not count: a test of it did not run, or ended otherwise than passed."""
    ended: dict[str, set[str]] = {}
    for module, name, outcome, _ in outcomes:
        test = f"{module.replace('.', '/')}.py::{name}"
        for known in {test, test.partition("[")[0]}:
            ended.setdefault(known, set()).add(outcome)
    found = {}
    for threat in of:
        bad = [
            f"{test} {' and '.join(sorted(ended.get(test, {'not run'})))}"
            for test in threat.tests
            if ended.get(test) != {"passed"}
        ]
        if bad or not threat.tests:
            found[threat.name] = "; ".join(bad) or "names no test"
    return found
