"""The register of checks: which function looks after which statement of the specification.

Rules: a check takes a Journal, asserts what the statement says of everything it finds there, and returns how
many things it looked at. assertions.json names the function for each id; test_assertions.py keeps the two
together.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.gateway.sparkplug.journal import Journal

Check = Callable[[Journal], int]

CHECKS: dict[str, Check] = {}
NAMES: dict[str, str] = {}


def register(name: str, check: Check, *ids: str) -> None:
    """`check` looks after these ids, all without their common "tck-id-"."""
    for short in ids:
        assert short not in CHECKS, f"{short} has two checks"
        CHECKS[short] = check
        NAMES[short] = name


def on(*ids: str) -> Callable[[Check], Check]:
    """Register the function below."""

    def keep(check: Check) -> Check:
        register(check.__name__, check, *ids)
        return check

    return keep


def for_kind(check: Callable[[Journal, str], int], kind: str, *ids: str) -> None:
    """Register `check` for one kind of message."""

    def one(journal: Journal) -> int:
        return check(journal, kind)

    register(f"{check.__name__}({kind})", one, *ids)
