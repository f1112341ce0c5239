"""How much one node may send: a token bucket each, with a bounded way past it for alarms.

Rules: what is over the limit is not stored and so not acknowledged; the node keeps it and sends it again later
(wire.md 6.3), so a limit delays and never loses. Time is an argument, monotonic ms.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LimitRules:
    """Messages of one node; a message is a report of up to 48 readings."""

    messages_per_s: int = 100
    """A node on a serial line drains its outbox at some 50 reports a second; 0: no limit."""
    burst: int = 1000
    alarms_per_s: int = 5
    """Alarm reports a second that go past an empty bucket: more than a board has sensors."""
    alarm_burst: int = 50


NO_LIMITS = LimitRules(messages_per_s=0)


class Limit:
    """What one node has left."""

    __slots__ = ("_alarms", "_at_ms", "_tokens", "alarms_over", "last_ms", "over")

    def __init__(self, rules: LimitRules, now_ms: int) -> None:
        self._tokens = float(rules.burst)
        self._alarms = float(rules.alarm_burst)
        self._at_ms = now_ms
        self.over = 0
        """Messages that were turned away."""
        self.alarms_over = 0
        """Alarm reports among them."""
        self.last_ms = 0
        """Monotonic, when the last was turned away."""

    def allows(self, rules: LimitRules, now_ms: int, alarm: bool) -> bool:
        """Whether one more message may come in; it is counted."""
        passed_s = max(now_ms - self._at_ms, 0) / 1000
        self._at_ms = max(now_ms, self._at_ms)
        self._tokens = min(float(rules.burst), self._tokens + passed_s * rules.messages_per_s)
        self._alarms = min(float(rules.alarm_burst), self._alarms + passed_s * rules.alarms_per_s)
        if self._tokens >= 1:
            self._tokens -= 1
            return True
        if alarm and self._alarms >= 1:
            self._alarms -= 1
            return True
        self.over += 1
        self.alarms_over += alarm
        self.last_ms = now_ms
        return False
