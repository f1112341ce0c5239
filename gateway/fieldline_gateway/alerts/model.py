"""The words of alerts: plain values, no clock, no file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SEVERITIES = ("info", "warning", "critical")

KINDS: dict[str, str] = {
    "node-silent": "warning",
    "node-odd": "warning",
    "node-alarm": "warning",
    "fan-stalled": "critical",
    "rate-limited": "warning",
    "clone": "critical",
    "quarantine-flood": "warning",
    "store-full": "warning",
    "store-held": "critical",
    "readings-lost": "critical",
    "sink-behind": "warning",
    "certificate-ending": "warning",
    "audit-broken": "critical",
    "test": "info",
}
"""All kinds, each with its severity unless the configuration says another."""

MAX_LINES = 100
"""Of a message's text: a screen or two."""

LATCHED = ("clone", "audit-broken")
"""Only a person can call these over."""


@dataclass(frozen=True, slots=True)
class Raise:
    """It is so; raising what is open already renews text and evidence and tells nobody."""

    kind: str
    subject: str
    text: str
    name: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Clear:
    """It is not so any more."""

    kind: str
    subject: str


Change = Raise | Clear


@dataclass(frozen=True, slots=True)
class Event:
    """What became of an alert, as it was then."""

    seq: int
    what: str
    """raised, cleared or acknowledged."""
    alert: Mapping[str, Any]
    """As docs/alerts.md shows it."""


@dataclass(frozen=True, slots=True)
class Message:
    """What a notifier is to deliver: one event, or a digest of many."""

    key: str
    """The same for the same events, over restarts too: who gets it twice can tell."""
    gateway: str
    events: tuple[Event, ...]
    skipped: int = 0
    """Events before these that went for want of room, and were told to nobody."""

    @property
    def severity(self) -> str:
        """The worst of its events."""
        return max((str(event.alert["severity"]) for event in self.events), key=SEVERITIES.index)

    @property
    def subject(self) -> str:
        """One line without control characters."""
        first = self.events[0]
        if len(self.events) == 1:
            who = first.alert["name"] or first.alert["subject"]
            text = f"{first.alert['severity'].upper()} {first.alert['kind']} {who}: {first.what}"
        else:
            text = f"{self.severity.upper()} {len(self.events)} alerts"
        return plain(f"[{self.gateway}] {text}")[:200]

    @property
    def text(self) -> str:
        """For people: a line an event, the worst first, at most MAX_LINES; of the others how many of each kind."""
        worst = sorted(self.events, key=lambda event: -SEVERITIES.index(event.alert["severity"]))
        lines = [
            plain(
                f"{event.what:12} {event.alert['severity']:8} {event.alert['kind']} "
                f"{event.alert['name'] or event.alert['subject']}: {event.alert['text']}"
            )
            for event in worst[:MAX_LINES]
        ]
        others = Counter(f"{event.alert['kind']} {event.what}" for event in worst[MAX_LINES:])
        lines += [f"and {count} more: {kind}" for kind, count in others.most_common()]
        if self.skipped:
            lines.append(f"{self.skipped} older events are not told: too many waited")
        return "\n".join(lines)


def plain(text: str) -> str:
    """Without control characters: names are people's and peers' own."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
