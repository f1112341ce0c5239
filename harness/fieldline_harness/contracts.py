"""Which tests of a pytest run are of the Board port, on which kind of board, and how they ended.

Rules: a kind that ran nothing is shown as that: not run is not passed. vm, rp2040 and esp_rom are simulated.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

SUITES = {
    "tests.contracts.test_board": "the contract",
    "tests.boards.rp2040.test_contract": "the contract",
    "tests.boards.rp2040.test_board": "its own",
    "tests.boards.esp_rom.test_board": "its own",
}
"""Modules with tests of the Board port, and whether they are the suite that all kinds share."""
KINDS = ("vm", "rp2040-js", "rp2040-py", "esp_rom", "real")


@dataclass(slots=True)
class Counts:
    """Tests of one kind, and why some were skipped."""

    contract: int = 0
    """Passed, of the suite that all kinds share."""
    own: int = 0
    """Passed, of the kind's own suite of the port."""
    failed: int = 0
    skipped: int = 0
    reasons: set[str] = field(default_factory=set)

    @property
    def passed(self) -> int:
        return self.contract + self.own

    def __bool__(self) -> bool:
        return bool(self.passed or self.failed or self.skipped)


def kind_of(module: str, name: str) -> str | None:
    """The kind of board that a test ran on; None where it is none of the Board port."""
    if module not in SUITES:
        return None
    parameters = name.partition("[")[2].rstrip("]").split("-")
    if module == "tests.contracts.test_board":
        return "real" if "real" in parameters else "vm"
    if module == "tests.boards.esp_rom.test_board":
        return "esp_rom"
    return "rp2040-py" if "py" in parameters else "rp2040-js"


def count(outcomes: Iterable[tuple[str, str, str, str]]) -> dict[str, Counts]:
    """By kind, of (module, test, "passed" | "failed" | "error" | "skipped", reason)."""
    found = {kind: Counts() for kind in KINDS}
    for module, name, outcome, reason in outcomes:
        kind = kind_of(module, name)
        if kind is None:
            continue
        counts = found[kind]
        if outcome == "passed" and SUITES[module] == "the contract":
            counts.contract += 1
        elif outcome == "passed":
            counts.own += 1
        elif outcome == "skipped":
            counts.skipped += 1
            counts.reasons.add(reason.removeprefix("Skipped: "))
        else:
            counts.failed += 1
    return found


def table(found: dict[str, Counts]) -> list[str]:
    """Lines for a terminal."""
    lines = [f"{'kind':24} {'contract':>9} {'its own':>8} {'skipped':>8} {'failed':>7}"]
    for kind, counts in found.items():
        shown = kind if kind == "real" else f"{kind} (simulated)"
        if not counts:
            lines.append(f"{shown:24} not run")
            continue
        numbers = f"{counts.contract:>9} {counts.own:>8} {counts.skipped:>8} {counts.failed:>7}"
        lines.append(f"{shown:24} {numbers}  {'; '.join(sorted(counts.reasons))}".rstrip())
    return lines
