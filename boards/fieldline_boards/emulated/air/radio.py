"""The advertising bearer, simulated: three channels, collisions, path loss, scanners that hear one channel at a time.

Rules: no clock and no chance of its own: times in us are handed in, chance comes from the seeded generator. A
transmission is judged when it ends, when all that overlapped it is known. Every figure is named, with its source.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Physics:
    """What is assumed of radios and air. dB and dBm; us."""

    advert_us: int = 376
    """ADV_NONCONN_IND with 31 bytes of AD at 1 Mbit/s: 8 x (1 + 4 + 2 + 6 + 31 + 3) (Vol 6, Part B, 2.1)."""
    hop_us: int = 400
    """From the end on one channel to the start on the next: 10 ms at most; chips take 0.15 to 1."""
    scan_us: int = 30_000
    """A scanner's window = interval, after which it goes to the next channel (continuous scanning)."""
    tx_dbm: float = 0.0
    sensitivity_dbm: float = -93.0
    """ESP32 and CYW43439 data sheets: -94 to -97 dBm at 1 Mbit/s, less an antenna's loss."""
    reference_db: float = 40.0
    """Path loss at 1 m, 2.4 GHz, free space."""
    exponent: float = 3.0
    """Indoors, obstructed: ITU-R P.1238 gives 28 to 30 dB a decade for offices."""
    shadow_db: float = 4.0
    """Standard deviation of a link's fixed shadowing."""
    fading_db: float = 3.0
    """Standard deviation from packet to packet."""
    capture_db: float = 10.0
    """A packet that is so much stronger than what overlaps it is received (Vol 6, Part A, 4.2: 21)."""
    reach_db: float = 6.0
    """Links weaker than the sensitivity by more than this are no links, nor interference."""


_FADES = 65_521
"""Draws of fading, taken round and round: a prime, so that nobody gets the same ones again and again."""


@dataclass(slots=True)
class Transmission:
    """One advert on one channel. `received`: who got it, when it has ended."""

    sender: int
    channel: int
    start: int
    end: int
    data: bytes
    received: list[int] = field(default_factory=list)


class Radio:
    """All radios of one place. `links`: sender -> receiver -> dBm at the receiver."""

    def __init__(
        self, physics: Physics, links: Mapping[int, Mapping[int, float]], rng: random.Random
    ) -> None:
        self.physics = physics
        self._rng = rng
        self._fading = [rng.gauss(0.0, physics.fading_db) for _ in range(_FADES)]
        self._fade = 0
        self._phase: dict[int, int] = {}
        self._busy_until: dict[int, int] = {}  # own transmissions
        self._busy_from: dict[int, int] = {}
        self._recent: tuple[deque[Transmission], ...] = (deque(), deque(), deque())
        self.relink(links)
        self.collisions = 0
        self.heard = 0
        self.sent = 0

    def relink(self, links: Mapping[int, Mapping[int, float]]) -> None:
        """Other links from now on. All nodes stand in it that are or were there, those that hear nobody too."""
        self.links = links
        for node in links:
            if node not in self._phase:
                self._phase[node] = self._rng.randrange(3 * self.physics.scan_us)
                self._busy_from[node] = self._busy_until[node] = 0
        reach: dict[int, set[int]] = {node: set() for node in links}  # who reaches it
        for node, row in links.items():
            for receiver in row:
                reach[receiver].add(node)
        self._near = {node: set().union(*(reach[one] for one in row)) for node, row in links.items()}

    def transmit(self, node: int, now: int, data: bytes) -> list[Transmission]:
        """An advertising event that starts at `now`: one transmission a channel."""
        physics = self.physics
        step = physics.advert_us + physics.hop_us
        event = [
            Transmission(node, channel, now + channel * step, now + channel * step + physics.advert_us, data)
            for channel in range(3)
        ]
        self._busy_from[node], self._busy_until[node] = now, event[-1].end
        for one in event:
            self._recent[one.channel].append(one)
        self.sent += 1
        return event

    def finish(self, one: Transmission) -> list[int]:
        """Who received a transmission that has ended."""
        physics = self.physics
        recent = self._recent[one.channel]
        while recent and recent[0].end < one.start - 4 * physics.advert_us:
            recent.popleft()
        near = self._near[one.sender]  # who shares a receiver with the sender
        overlapping = [
            self.links[other.sender]
            for other in recent
            if other.start < one.end and one.start < other.end and other is not one and other.sender in near
        ]
        third, channel, start, end = physics.scan_us, one.channel, one.start, one.end
        fading = self._fading
        phases, busy_from, busy_until = self._phase, self._busy_from, self._busy_until
        for receiver, dbm in self.links[one.sender].items():
            phase = phases[receiver]
            window = (start + phase) // third
            if window % 3 != channel or window != (end + phase) // third:
                continue
            if busy_from[receiver] < end and start < busy_until[receiver]:
                continue
            self._fade = fade = (self._fade + 1) % _FADES
            strength = dbm + fading[fade]
            if strength < physics.sensitivity_dbm:
                continue
            hurt = False
            for row in overlapping:
                noise = row.get(receiver)
                if noise is not None and strength < noise + physics.capture_db:
                    hurt = True
                    break
            if hurt:
                self.collisions += 1
                continue
            self.heard += 1
            one.received.append(receiver)
        return one.received


def path_loss(
    places: Mapping[int, tuple[float, float]], physics: Physics, rng: random.Random
) -> dict[int, dict[int, float]]:
    """dBm of each link between nodes at `places` (m): log-distance with fixed, symmetric shadowing."""
    links: dict[int, dict[int, float]] = {node: {} for node in places}
    nodes = sorted(places)
    for index, one in enumerate(nodes):
        for other in nodes[index + 1 :]:
            distance = max(math.dist(places[one], places[other]), 1.0)
            loss = physics.reference_db + 10 * physics.exponent * math.log10(distance)
            dbm = physics.tx_dbm - loss + rng.gauss(0.0, physics.shadow_db)
            if dbm >= physics.sensitivity_dbm - physics.reach_db:
                links[one][other] = links[other][one] = dbm
    return links
