"""A measured figure.

Rules: a figure has a unit and says what it is measured against, in the same run where there is a rival;
nobody compares a figure of one machine with one of another.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One result of a bench."""

    name: str
    """Dotted, the part first: store.records_per_s."""
    value: float
    unit: str
    against: str
    """What it was measured against, and how, in a few words."""
