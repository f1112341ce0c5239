"""What a subscriber received, held against the promise.

Rules: knows MQTT payloads (docs/payload-json.md) and nothing of the gateway's or the node's insides, so that it
can find a fault that they share. Repeats are removed by (node, stream, class, number), as a user would.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

Key = tuple[str, int, str]
"""Node, stream, class: what has numbers of its own."""


@dataclass(slots=True)
class Account:
    """The numbers of one (node, stream, class)."""

    readings: dict[int, dict[str, object]] = field(default_factory=dict)
    gaps: dict[int, str] = field(default_factory=dict)
    repeats: int = 0
    conflicts: list[int] = field(default_factory=list)
    """Numbers that came twice with different content."""
    disordered: list[int] = field(default_factory=list)
    """Numbers that came, for the first time, after a greater one that came the same way."""
    highest: dict[bool, int] = field(default_factory=dict)
    """Of what came as backlog, and of what did not."""

    @property
    def last(self) -> int:
        """The highest number that came, whichever way."""
        return max(self.highest.values(), default=0)

    def missing(self, up_to: int) -> list[int]:
        """Numbers from 1 to `up_to` that neither came nor were explained."""
        return [n for n in range(1, up_to + 1) if n not in self.readings and n not in self.gaps]


class Ledger:
    """Takes messages in the order in which they arrived."""

    def __init__(self) -> None:
        self.accounts: dict[Key, Account] = {}
        self.others = 0

    def take(self, payload: bytes) -> None:
        """One message of a class topic, or of another (health, log, ...), which has no number."""
        message = json.loads(payload)
        if "class" not in message or "node" not in message:
            self.others += 1
            return
        account = self.accounts.setdefault((message["node"], message["stream"], message["class"]), Account())
        backlog = message.get("backlog", False)
        if gap := message.get("gap"):
            for number in range(gap["first"], gap["last"] + 1):
                self._number(account, number, backlog)
                account.gaps[number] = gap["reason"]
            return
        number = message["number"]
        if number in account.readings:
            account.repeats += 1
            if _content(account.readings[number]) != _content(message):
                account.conflicts.append(number)
            return
        self._number(account, number, backlog)
        account.readings[number] = message

    @staticmethod
    def _number(account: Account, number: int, backlog: bool) -> None:
        highest = account.highest.get(backlog, 0)
        if number < highest and number not in account.gaps:
            account.disordered.append(number)
        account.highest[backlog] = max(highest, number)

    def faults(self, accepted: dict[Key, int]) -> list[str]:
        """What breaks the promise, in words. `accepted`: the highest number that each node has given out."""
        found = []
        for key, highest in accepted.items():
            account = self.accounts.get(key, Account())
            if missing := account.missing(highest):
                found.append(f"{key}: {len(missing)} of {highest} missing in silence: {_some(missing)}")
        for key, account in self.accounts.items():
            if account.disordered:
                found.append(f"{key}: {len(account.disordered)} out of order: {_some(account.disordered)}")
            if account.conflicts:
                found.append(f"{key}: one number, two readings: {_some(account.conflicts)}")
            if both := account.readings.keys() & account.gaps.keys():
                found.append(f"{key}: came and was reported as a gap: {_some(sorted(both))}")
        return found

    def count(self) -> tuple[int, int, int]:
        """Readings, repeats, numbers in gaps."""
        accounts = self.accounts.values()
        return (
            sum(len(a.readings) for a in accounts),
            sum(a.repeats for a in accounts),
            sum(len(a.gaps) for a in accounts),
        )


def _content(message: dict[str, object]) -> dict[str, object]:
    """What a repeat has in common with the first: it may come another way."""
    return {name: value for name, value in message.items() if name not in ("historical", "backlog")}


def _some(numbers: Iterable[int]) -> str:
    shown = list(numbers)
    return ", ".join(map(str, shown[:8])) + (" ..." if len(shown) > 8 else "")
