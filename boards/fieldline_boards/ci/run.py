"""Runs a project's jobs, one after the other, and says how each went.

Rules: the numbers come from the JUnit file that pytest wrote, never from its output; a job without one failed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from fieldline_boards.ci.project import Job, Project

NO_TESTS = 5
"""pytest's exit status where it collected nothing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job went. `skipped`: tests by the reason; `trouble`: what kept it from running as it should."""

    job: Job
    passed: int = 0
    failed: int = 0
    skipped: tuple[tuple[str, int], ...] = ()
    seconds: float = 0.0
    trouble: str = ""
    absent: str = ""
    """Why the whole job was left out."""

    @property
    def well(self) -> bool:
        """Whether nothing failed."""
        return not self.failed and not self.trouble


def run_jobs(
    project: Project, jobs: Iterable[Job], out: Path, *, must: bool, say: Callable[[str], None]
) -> list[Outcome]:
    """Run `jobs`; their JUnit files go to `out`. With `must` a real board that is not there is a failure."""
    out.mkdir(parents=True, exist_ok=True)
    chosen, outcomes = list(jobs), []
    for place, job in enumerate(chosen, 1):
        simulated = "" if job.kind == "real" else " (simulated)"
        say(f"=== {place} of {len(chosen)}: {Path(job.board).stem} on {job.kind}{simulated}")
        absent = _absent(job)
        if absent:
            outcomes.append(Outcome(job, trouble=absent if must else "", absent="" if must else absent))
            say(f"{'failed' if must else 'left out'}: {absent}")
            continue
        outcomes.append(_run(project, job, out / f"{job.name}.xml"))
    return outcomes


def _absent(job: Job) -> str:
    if job.kind == "real" and job.port and "://" not in job.port and not Path(job.port).exists():
        return f"there is no {job.port}: no board is plugged in"
    return ""


def _run(project: Project, job: Job, report: Path) -> Outcome:
    report.unlink(missing_ok=True)
    words = [sys.executable, "-m", "pytest", "-p", "fieldline_boards.pytest", f"--rootdir={project.folder}"]
    words += [f"--board={job.board}", f"--board-kind={job.kind}", f"--board-image={job.image}"]
    words += [f"--board-patience={project.patience_s:g}", f"--junitxml={report}", "-o", "junit_family=xunit2"]
    words += ["-o", f"junit_suite_name={job.name}"]
    words += [f"--board-port={job.port}"] if job.port else []
    words += [f"--board-firmware={job.firmware}"] if job.firmware else []
    began = time.monotonic()
    status = subprocess.run([*words, *project.tests], cwd=project.folder, check=False).returncode
    seconds = time.monotonic() - began
    try:
        return read_report(job, report, status, seconds)
    except (OSError, ElementTree.ParseError):
        return Outcome(job, seconds=seconds, trouble=f"pytest ended with status {status} and wrote no report")


def read_report(job: Job, report: Path, status: int, seconds: float) -> Outcome:
    """The outcome in a JUnit file, pytest having ended with `status`. OSError, ParseError where there is none."""
    counts: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            counts["failed"] += 1
        elif (skip := case.find("skipped")) is not None:
            skipped[(skip.get("message") or "no reason").removeprefix("Skipped: ")] += 1
        else:
            counts["passed"] += 1
    trouble = ""
    if status == NO_TESTS or not (counts or skipped):
        trouble = "no test was found"
    elif status and not counts["failed"]:
        trouble = f"pytest ended with status {status}"
    return Outcome(job, counts["passed"], counts["failed"], tuple(skipped.most_common()), seconds, trouble)
