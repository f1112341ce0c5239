"""How many lines of the threat model (docs/security.md) have a test that ran and passed here.

Rules: it works in a checkout alone: the tests are not installed. Each line that does not count is named with why.
"""

from __future__ import annotations

import sys

from fieldline_harness.figures import Figure
from fieldline_harness.pytest_report import ROOT, outcomes
from fieldline_harness.threats import DOCUMENT, threats, untested

QUICK = 8
"""Lines of a quick run: the tests of some start processes and a browser."""


def run(quick: bool) -> list[Figure]:
    """guard.threats_tested."""
    if not (ROOT / DOCUMENT).is_file():
        raise RuntimeError(f"there is no {DOCUMENT} in {ROOT}: run this in a checkout")
    table = threats(ROOT)
    chosen = table[:QUICK] if quick else table
    tests = list(dict.fromkeys(test for threat in chosen for test in threat.tests))
    print(f"{len(tests)} tests of {len(chosen)} lines ...", file=sys.stderr)
    bad = untested(chosen, outcomes(tests))
    for name, why in bad.items():
        print(f"{name}: {why}", file=sys.stderr)
    told = f"{len(table)} lines in {DOCUMENT}"
    if quick:
        told += f", of which {len(chosen)} were run"
    if bad:
        told += f"; not tested: {', '.join(bad)}"
    return [Figure("guard.threats_tested", len(chosen) - len(bad), "lines", told)]
