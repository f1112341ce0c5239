"""How many tests of the Board port pass on each kind of board: the contract suite, counted.

Rules: the numbers are those of pytest's own report. It works in a checkout alone: the tests are not installed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from fieldline_harness.contracts import SUITES, count
from fieldline_harness.figures import Figure

ROOT = Path(__file__).resolve().parents[2]
_STANDARD_ERROR = 2  # for people: the figures alone are on standard output
QUICK = "test_the_port_runs_python or test_port_power_and_cable"


def run(quick: bool) -> list[Figure]:
    """boards.contracts, and the same by kind; a kind on which nothing passed is named in the total."""
    files = [ROOT / f"{module.replace('.', '/')}.py" for module in SUITES]
    if not all(file.is_file() for file in files):
        raise RuntimeError(f"the contract suite is not in {ROOT / 'tests'}: run this in a checkout")
    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as folder:
        report = Path(folder) / "report.xml"
        words = [sys.executable, "-m", "pytest", "-q", "-m", "not soak", f"--junitxml={report}"]
        words += ["-o", "junit_family=xunit2", *(["-k", QUICK] if quick else [])]
        subprocess.run([*words, *map(str, files)], cwd=ROOT, stdout=_STANDARD_ERROR, check=False)
        found = count(_outcomes(report))
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


def _outcomes(report: Path) -> Iterator[tuple[str, str, str, str]]:
    for case in ElementTree.parse(report).iter("testcase"):
        module, name = case.get("classname", ""), case.get("name", "")
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            yield module, name, "failed", ""
        elif skip is not None:
            yield module, name, "skipped", skip.get("message") or ""
        else:
            yield module, name, "passed", ""
