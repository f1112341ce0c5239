"""The words of `fieldline board ci`.

Rules: words in, calls out; what is simulated says so.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fieldline_boards.ci.project import load_project
from fieldline_boards.ci.run import Outcome, run_jobs
from fieldline_boards.ci.start import start_project
from fieldline_boards.errors import BoardError
from fieldline_boards.testing.wanted import KINDS, load

TOLD = """Run a project's tests on every board and kind that its fieldline-ci.toml names, one after the other.

Kinds vm and rp2040 are emulated (simulated). A JUnit file for each goes to the folder --out. The exit status is 1
where a test failed, or none passed on any board. A real board that is not plugged in is left out, unless
--kind real asks for it. docs/ci.md says more."""


def add_part(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `ci` to `fieldline board`."""
    part = parts.add_parser("ci", help="run a project's tests on emulated and real boards", description=TOLD,
                            epilog="example:\n  fieldline board ci --init\n  fieldline board ci my-project --kind vm",
                            formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    part.add_argument("project", type=Path, nargs="?", default=Path(), metavar="PROJECT",
                      help="the project's folder (default: this one)")  # fmt: skip
    part.add_argument("--kind", action="append", choices=KINDS, help="only this kind; may be given again")
    part.add_argument(
        "--out", type=Path, metavar="DIR", help="for the JUnit files (default: PROJECT/ci-results)"
    )
    part.add_argument("--init", action="store_true",
                      help="write fieldline-ci.toml, a GitHub workflow and a first test where missing")  # fmt: skip
    part.add_argument("--board", default="pico_w", metavar="BOARD", help="with --init (default: pico_w)")
    part.set_defaults(run=_ci)


def _ci(words: argparse.Namespace) -> int:
    folder = words.project.resolve()
    if words.init:
        load(words.board)
        for path, written in start_project(folder, words.board).items():
            print(f"{'written   ' if written else 'kept as is'} {path}")
        print("Next: pip install -r requirements-ci.txt, then: fieldline board ci")
        return 0
    if importlib.util.find_spec("pytest") is None:
        raise BoardError(
            "'fieldline board ci' runs pytest, which is not installed: pip install 'fieldline[ci]'"
        )
    project = load_project(folder)
    jobs = [job for job in project.jobs if words.kind is None or job.kind in words.kind]
    if not jobs:
        raise BoardError(
            f"no board of {folder} is to be tested on {', '.join(words.kind)}: see [[board]] kinds"
        )
    out = (words.out or folder / "ci-results").resolve()
    outcomes = run_jobs(
        project, jobs, out, must=words.kind is not None, say=lambda text: print(text, flush=True)
    )
    show(outcomes, Console())
    print(f"JUnit files: {out}")
    if not any(outcome.passed for outcome in outcomes):
        print("fieldline: error: no test passed on any board")
        return 1
    return 0 if all(outcome.well for outcome in outcomes) else 1


def show(outcomes: list[Outcome], console: Console) -> None:
    """The table of all jobs."""
    table = Table("board", "kind", "passed", "failed", "skipped", "seconds", "why")
    for outcome in outcomes:
        kind = outcome.job.kind if outcome.job.kind == "real" else f"{outcome.job.kind} (simulated)"
        reasons = [f"{count} skipped: {reason}" for reason, count in outcome.skipped]
        why = [
            text
            for text in (outcome.trouble, outcome.absent and f"left out: {outcome.absent}", *reasons)
            if text
        ]
        counts = [
            str(count) for count in (outcome.passed, outcome.failed, sum(n for _, n in outcome.skipped))
        ]
        style = "" if outcome.well else "red"
        name = Path(outcome.job.board).stem
        table.add_row(name, kind, *counts, f"{outcome.seconds:.1f}", Text("; ".join(why)), style=style)
    console.print(table)
