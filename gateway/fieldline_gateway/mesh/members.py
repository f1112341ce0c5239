"""What the gateway sees of each member of its mesh: when it was heard, over how many hops, what it has confirmed.

Rules: time is an argument, in ms. A member that says nothing for LOST heartbeats is lost: what was known of its place
counts no more, and when it is back its settings are asked anew, for it may have started anew.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from fieldline_gateway.mesh.aes import Aes
from fieldline_gateway.mesh.book import Known
from fieldline_gateway.mesh.config_messages import FRIEND, HEARTBEAT, RELAY, TTL
from fieldline_gateway.mesh.network import Member

LOST = 3.5
"""Heartbeats without a word. Each is said in three copies: three in a row are rarely lost where links are good."""
FIRST_HOPS, HOPS = 4, 8
"""Heartbeats whose longest way makes the TTL longer, and shorter."""
MAX_DOUBTS = 6
"""One that never says a heartbeat is asked anew every 64 times as long as at first."""
SLACK = 1
"""Hops that a way may get longer before a node is not heard: a relay goes and another takes over."""


@dataclass(slots=True)
class MemberState:
    """One member. Times in ms of the loop's clock; 0: never."""

    member: Member
    known: Known
    heard_at: int = 0
    beat_at: int = 0
    since: int = 0
    """When it was first spoken of, or heard again: silence and missing heartbeats count from here."""
    hops: deque[int] = field(default_factory=lambda: deque(maxlen=HOPS))
    features: int = 0
    lost: bool = False
    lost_at: int = 0
    error: str = ""
    doubts: int = 0
    """How often it was asked anew since the last heartbeat."""
    asked_heard_at: int = 0
    told_at: int = 0
    key: Aes = field(init=False)

    def __post_init__(self) -> None:
        self.key = Aes(self.member.device_key)

    @property
    def address(self) -> int:
        """Of its first element."""
        return self.member.address

    @property
    def relay(self) -> bool | None:
        """As it has confirmed; None: it has not."""
        value = self.known.confirmed.get(RELAY)
        return None if value is None else value.startswith("on")

    @property
    def copies(self) -> int:
        """Of what it relays, after the first, as it has confirmed."""
        return int(self.known.confirmed.get(RELAY, "off:1:1").split(":")[1])

    @property
    def ttl(self) -> int | None:
        """Default TTL, as it has confirmed."""
        value = self.known.confirmed.get(TTL)
        return None if value is None else int(value)

    def heard(self, now: int) -> bool:
        """It said something; whether it was lost or never heard before."""
        news = self.lost or not self.heard_at
        self.heard_at = now
        if self.lost:
            self.lost = False
            self.since = now
            self.doubt()
        return news

    def beat(self, now: int, hops: int, features: int) -> None:
        """A heartbeat of it came."""
        self.beat_at = now
        self.features = features
        self.doubts = 0
        self.hops.append(hops)

    def look(self, now: int, beat_ms: int) -> bool:
        """Whether it has just been lost."""
        quiet = now - max(self.heard_at, self.since)
        if not self.lost and quiet >= LOST * beat_ms:
            self.lost, self.lost_at = True, now
            self.hops.clear()
            self.known.heard = None
            return True
        # It speaks, and no heartbeats come: it has started anew, and does not keep that setting.
        patience = LOST * beat_ms * (1 << min(self.doubts, MAX_DOUBTS))
        silent = now - max(self.beat_at, self.since) >= patience
        if silent and not self.lost and HEARTBEAT in self.known.confirmed:
            self.since = now
            self.doubts += 1
            self.doubt()
        return False

    def doubt(self) -> None:
        """What it may have lost or been told by others is asked again."""
        for name in (FRIEND, HEARTBEAT, RELAY, TTL):
            self.known.confirmed.pop(name, None)

    def wanted_ttl(self, planned: int | None, wide: int) -> int:
        """What its Default TTL should be; `planned`: hops to it when all relays are as wanted."""
        if not self.hops:
            return self.ttl or wide
        recent = list(self.hops)[-FIRST_HOPS:]
        low = max(*recent, planned or 0) + SLACK
        high = max(*self.hops, planned or 0) + SLACK
        has = self.ttl
        if has is None or has < low:
            return max(2, low)
        if len(self.hops) == HOPS and has > high:
            return max(2, high)
        return has
