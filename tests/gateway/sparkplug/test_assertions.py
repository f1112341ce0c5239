"""The normative statements of the specification against the checks, one test an id.

Rules: assertions.json holds every id of the specification: covered by a check, not covered, or not
applicable, each of the last two with its reason. A check has to find something to look at, and to fail on a
journal that was spoiled: what cannot fail is no check. conftest.py prints the table.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

from fieldline_gateway.sparkplug.errors import PayloadError
from tests.gateway.sparkplug import checks_messages, checks_session
from tests.gateway.sparkplug.checks import CHECKS, NAMES, Check
from tests.gateway.sparkplug.journal import Journal
from tests.gateway.sparkplug.mutants import MUTANTS
from tests.gateway.sparkplug.scenarios import SCENARIOS

TABLE = json.loads((Path(__file__).parent / "assertions.json").read_text())
COVERED = sorted(full for full, row in TABLE["ids"].items() if row["status"] == "covered")
REGISTERED = (checks_messages, checks_session)
"""Imported so that they register their checks."""


@cache
def journals(short: bool = False) -> tuple[Journal, ...]:
    played = [scenario for scenario in SCENARIOS if scenario.short or not short]
    return tuple(Journal.of(scenario.play()) for scenario in played)


@pytest.mark.parametrize("full", COVERED)
def test_assertion(full: str) -> None:
    check = CHECKS[full.removeprefix("tck-id-")]
    assert sum(check(journal) for journal in journals()) > 0, "the check found nothing to look at"


def test_the_table_is_whole() -> None:
    """Every id once, with a status that says what it must; checks and table name each other."""
    assert len(TABLE["ids"]) == TABLE["count"] == 299
    for full, row in TABLE["ids"].items():
        short = full.removeprefix("tck-id-")
        assert row["status"] in ("covered", "not covered", "not applicable")
        assert (row["status"] == "covered") == (short in CHECKS), full
        if row["status"] == "covered":
            assert row["check"] == NAMES[short], full
        else:
            assert len(row["reason"]) > 10, full
    assert len(COVERED) >= 150


def test_every_check_can_fail() -> None:
    """Each check finds fault with at least one of the spoiled journals."""
    alive = set(CHECKS.values())
    for mutant in MUTANTS:
        for journal in journals(short=True):
            spoiled = Journal(tuple(mutant(list(journal.entries))), journal.config)
            alive = {check for check in alive if not _fails(check, spoiled)}
    assert not alive, sorted(NAMES[short] for short, check in CHECKS.items() if check in alive)


def _fails(check: Check, journal: Journal) -> bool:
    try:
        check(journal)
    except (AssertionError, KeyError, StopIteration, PayloadError):
        return True
    return False
