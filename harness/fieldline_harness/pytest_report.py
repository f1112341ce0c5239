"""Runs pytest in this checkout and reads how each test ended from its own report.

Rules: the numbers are pytest's. It works in a checkout alone: the tests are not installed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
_STANDARD_ERROR = 2  # for people: the figures alone are on standard output

Outcome = tuple[str, str, str, str]
"""(module, test, "passed" | "failed" | "skipped", why it was skipped)."""


def outcomes(words: Sequence[str]) -> list[Outcome]:
    """Of the tests that `words` (files, node ids, options) choose."""
    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "not soak", f"--junitxml={report}"]
        command += ["-o", "junit_family=xunit2", *words]
        subprocess.run(command, cwd=ROOT, stdout=_STANDARD_ERROR, check=False)
        return list(_read(report))


def _read(report: Path) -> Iterator[Outcome]:
    for case in ElementTree.parse(report).iter("testcase"):
        module, name = case.get("classname", ""), case.get("name", "")
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            yield module, name, "failed", ""
        elif skip is not None:
            yield module, name, "skipped", skip.get("message") or ""
        else:
            yield module, name, "passed", ""
