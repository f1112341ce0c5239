"""What a rollout is made of: releases, rings, limits, and what is known of each node.

Rules: plain values; times are Unix seconds and come from outside. What a plan may say is checked when it is made.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from fieldline_ota.errors import UsageError

# Of a rollout
RUNNING, HELD, DONE, STOPPED, RETURNING, RETURNED = (
    "running",
    "held",
    "done",
    "stopped",
    "returning",
    "returned",
)
# Of a node
WAITING, OFFERED, RECEIVING, TRIAL = "waiting", "offered", "receiving", "trial"
CONFIRMED, FAILED, SILENT, SKIPPED = "confirmed", "failed", "silent", "skipped"
BACK_OFFERED, BACK_TRIAL, BACK, BACK_FAILED = "going back", "back on trial", "back", "not back"

UNDER_WAY = (OFFERED, RECEIVING, TRIAL)
"""It was told, and has not ended: silence counts."""
UNDECIDED = (WAITING, *UNDER_WAY)

MAX_RINGS = 16
DEFAULT_SHARES = (0.05, 0.25, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Ref:
    """A release by what a token and a Status name."""

    sequence: int
    digest: str
    """Of the manifest, hexadecimal."""
    length: int
    """Of the envelope, bytes."""


@dataclass(frozen=True, slots=True)
class Ring:
    """A stage. Either `target` (of fleet.md 1) or `share` of the fleet, those of earlier rings among it."""

    name: str
    target: str = ""
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """When a ring is good, when the rollout stops."""

    success: float = 0.95
    """Of a ring's nodes: confirmed before the next ring begins."""
    failure: float = 0.05
    """Of a ring's nodes: one more that failed or fell silent stops the rollout. Of 19 nodes 5 % are none."""
    soak_s: float = 3600.0
    """A ring that is good waits so long for what shows late."""
    silence_s: float = 86_400.0
    """A node that was told and makes no progress for so long has failed. Longer than the longest sleep."""
    tries: int = 2
    """Offers to a node that refused; one that went back by itself is not tried again."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rollout is to do. `back`: the last good image under a higher sequence, for what was confirmed."""

    board: str
    component: int
    release: Ref
    back: Ref | None
    rings: tuple[Ring, ...]
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        limits = self.limits
        if not 1 <= len(self.rings) <= MAX_RINGS:
            raise UsageError(f"a rollout has 1 to {MAX_RINGS} rings, not {len(self.rings)}")
        for ring in self.rings:
            if bool(ring.target) == bool(ring.share) or not 0 <= ring.share <= 1:
                raise UsageError(f"ring {ring.name}: a target or a share above 0 and up to 100 %")
        shares = [ring.share for ring in self.rings if ring.share]
        if shares != sorted(set(shares)):
            raise UsageError(
                "the shares of the rings rise: each is of the whole fleet, earlier rings among it"
            )
        if not (0 < limits.success <= 1 and 0 <= limits.failure < 1):
            raise UsageError("success is above 0 and up to 100 %, failure from 0 and below 100 %")
        if limits.silence_s <= 0 or limits.soak_s < 0 or limits.tries < 1:
            raise UsageError("silence is longer than 0 s, soak no shorter, and there is a first try")
        if self.back is not None and self.back.sequence <= self.release.sequence:
            raise UsageError(
                f"a node goes from sequence {self.release.sequence} to a higher one only, back to "
                f"{self.back.sequence} it can't: build the good tree anew under a higher sequence"
            )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        back = values["back"]
        return cls(
            values["board"],
            values["component"],
            Ref(**values["release"]),
            None if back is None else Ref(**back),
            tuple(Ring(**each) for each in values["rings"]),
            Limits(**values["limits"]),
        )


@dataclass(slots=True)
class Node:
    """Where a node stands. `ring`: from 0."""

    id: str
    name: str
    gateway: str
    ring: int
    state: str = WAITING
    since: float = 0.0
    """When it last made progress."""
    reason: int = 0
    """Of update.md 10."""
    tries: int = 0
    counter: int = 0
    """Of the last token made for it, 0 where there is none."""
    percent: int = 0
    running: int = 0
    """Sequence that it was last heard to run."""


@dataclass(frozen=True, slots=True)
class Report:
    """A node's newest Status (update.md 9.2), as its gateway has it."""

    node: str
    state: int
    reason: int
    running: int
    target: int
    floor: int
    counter: int
    nonce: str
    percent: int
    refusal: tuple[int, int] | None = None
    """(counter of the token, reason) of an offer that the node answered with no."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Something that is written to the audit log."""

    what: str
    who: str
    node: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


def rings_of(
    plan: Plan, nodes: Sequence[str], members: Mapping[str, Iterable[str]], salt: str
) -> dict[str, int]:
    """Each node's ring. `members`: whom each ring's target means; `salt`: other for each rollout.

    A node is in the first ring that means it. Shares are counted over the whole fleet in an order that nobody can
    choose and that is the same at each call. Who is in no ring is in the last.
    """
    order = sorted(nodes, key=lambda node: hashlib.sha256(f"{salt}/{node}".encode()).digest())
    found: dict[str, int] = {}
    for number, ring in enumerate(plan.rings):
        if ring.target:
            for node in members.get(ring.name, ()):
                found.setdefault(node, number)
            continue
        missing = math.ceil(ring.share * len(order) - 1e-9) - len(found)
        for node in order:
            if missing <= 0:
                break
            if node not in found:
                found[node] = number
                missing -= 1
    return {node: found.get(node, len(plan.rings) - 1) for node in order}
