"""How many tests of the Board port pass on each kind of board: the contract suite, counted.

Rules: it works in a checkout alone: the tests are not installed.
"""

from __future__ import annotations

from fieldline_harness.contracts import SUITES, count
from fieldline_harness.figures import Figure
from fieldline_harness.pytest_report import ROOT, outcomes

QUICK = "test_the_port_runs_python or test_port_power_and_cable"


def run(quick: bool) -> list[Figure]:
    """boards.contracts, and the same by kind; a kind on which nothing passed is named in the total."""
    files = [ROOT / f"{module.replace('.', '/')}.py" for module in SUITES]
    if not all(file.is_file() for file in files):
        raise RuntimeError(f"the contract suite is not in {ROOT / 'tests'}: run this in a checkout")
    found = count(outcomes([*(["-k", QUICK] if quick else []), *map(str, files)]))
    absent = [
        f"{kind} ({'; '.join(sorted(c.reasons)) or 'not run'})" for kind, c in found.items() if not c.passed
    ]
    failed = sum(counts.failed for counts in found.values())
    told = f"{failed} failed" + (f"; none passed on {', '.join(absent)}" if absent else "")
    figures = [Figure("boards.contracts", sum(counts.passed for counts in found.values()), "tests", told)]
    for kind, counts in found.items():
        if counts.passed:
            told = f"{counts.contract} of the contract, {counts.own} its own; {counts.skipped} skipped, "
            figures.append(
                Figure(f"boards.contracts.{kind}", counts.passed, "tests", f"{told}{counts.failed} failed")
            )
    return figures
