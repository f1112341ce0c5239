"""The simulated air in real time: what emulated boards and mesh nodes on the host advertise reaches each other.

    air = LiveAir(seed=1)
    air.place("fan-1", 0, 0)
    air.place("fan-2", 25, 0)          # metres; again at any time: the board was moved
    air.link("fan-1", "fan-2", -60)    # or a link's strength in dBm, whatever the places say
    air.remove("fan-2")                # nobody hears it, it hears nobody, until it is placed or linked again
    board = VmBoard(spec, folder, air=air.station("fan-1"))

Rules: SIMULATED. The physics are radio.py's (three channels, collisions, capture, fading, half duplex); the time is
the event loop's, so no run is like another. A controller starts its first advertising event soon after it is told
to, and an event that has begun is on air to its end. All calls belong to one event loop.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from fieldline_boards.emulated.air.radio import Physics, Radio, Transmission

ADV_IND, ADV_SCAN_IND, ADV_NONCONN_IND = 0, 2, 3
"""Advertising PDU types, as an HCI report has them (Core 5.4, Vol 4, Part E, 7.7.65.2)."""
MOST_DATA = 31
"""Bytes of advertising data in a legacy advert (Vol 6, Part B, 2.3.1)."""
START_US = (300, 1500)
"""From the host's command to the first event: HCI and the controller's own schedule."""
ADV_DELAY_US = 10_000
"""Random delay added to each advertising interval (Vol 6, Part B, 4.4.2.2.1)."""


@dataclass(frozen=True, slots=True)
class Heard:
    """An advert as a scanner reports it. `rssi` in dBm."""

    sender: bytes
    kind: int
    rssi: int
    data: bytes


class Station:
    """One radio: what its controller is told, and `hear`, who gets what it receives."""

    def __init__(self, air: LiveAir, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.address = (0xC0_51_00_00_00_00 | number).to_bytes(6, "big")
        """A static random address, as scanners see it."""
        self.hear: Callable[[Heard], None] = lambda heard: None
        self.said = 0
        self.heard = 0
        self._air = air
        self._kind, self._data, self._interval = ADV_IND, b"", 0
        self._timer: asyncio.TimerHandle | None = None
        self._window = 0.0  # share of the time in which it listens

    @property
    def listening(self) -> float:
        """Share of the time in which it scans, 0 to 1."""
        return self._window

    def advertise(self, interval_us: int, data: bytes, kind: int = ADV_NONCONN_IND) -> None:
        """Advertises `data` from now on, an event each interval; ValueError where that is no legacy advert."""
        if len(data) > MOST_DATA or not 20_000 <= interval_us <= 10_240_000:
            raise ValueError(f"an advert of {len(data)} bytes each {interval_us} us")
        self.stop()
        self._kind, self._data, self._interval = kind, bytes(data), interval_us
        self._event()

    def stop(self) -> None:
        """Ends advertising; an event that has begun goes on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def scan(self, interval_us: int, window_us: int) -> None:
        """Listens for `window_us` of each interval; 0 ends it."""
        self._window = min(1.0, window_us / interval_us) if window_us else 0.0

    def silence(self) -> None:
        """Without power: neither sends nor hears."""
        self.stop()
        self._window = 0.0

    def _event(self) -> None:
        self.said += 1
        self._air.transmit(self, self._kind, self._data)
        delay = self._interval + self._air.rng.randrange(ADV_DELAY_US)
        self._timer = asyncio.get_running_loop().call_later(delay / 1e6, self._event)


class LiveAir:
    """The air of one place and all its stations, by name."""

    def __init__(self, physics: Physics | None = None, seed: int = 1) -> None:
        self.physics = physics or Physics()
        self.rng = random.Random(seed)
        self._seed = seed
        self._stations: list[Station] = []
        self._by_name: dict[str, Station] = {}
        self._places: dict[str, tuple[float, float]] = {}
        self._fixed: dict[frozenset[str], float | None] = {}
        self._radio = Radio(self.physics, {}, self.rng)
        self.heard_from: dict[str, dict[str, int]] = {}
        """Receiver, sender: adverts that came."""

    def station(self, name: str) -> Station:
        """The radio of that name; one that is neither placed nor linked is out of everybody's reach."""
        station = self._by_name.get(name)
        if station is None:
            station = self._by_name[name] = Station(self, name, len(self._stations))
            self._stations.append(station)
            self.heard_from[name] = {}
            self._relink()
        return station

    def place(self, name: str, x: float, y: float) -> None:
        """Puts a radio there, in metres, or moves it; links of its own that link() gave are forgotten."""
        self.station(name)
        self._fixed = {pair: dbm for pair, dbm in self._fixed.items() if name not in pair}
        self._places[name] = x, y
        self._relink()

    def link(self, one: str, other: str, dbm: float | None) -> None:
        """How strong each is where the other is; None: out of reach, wherever they are."""
        self.station(one)
        self.station(other)
        self._fixed[frozenset((one, other))] = dbm
        self._relink()

    def remove(self, name: str) -> None:
        """Takes a radio out of everybody's reach."""
        self._places.pop(name, None)
        self._fixed = {pair: dbm for pair, dbm in self._fixed.items() if name not in pair}
        self._relink()

    def links(self) -> dict[str, dict[str, float]]:
        """Sender, receiver: dBm, of all that are in reach."""
        names = [station.name for station in self._stations]
        return {
            names[sender]: {names[receiver]: dbm for receiver, dbm in row.items()}
            for sender, row in self._radio.links.items()
        }

    @property
    def counts(self) -> dict[str, int]:
        """Advertising events, adverts received, receptions lost to a collision."""
        radio = self._radio
        return {"sent": radio.sent, "heard": radio.heard, "collisions": radio.collisions}

    def close(self) -> None:
        """Ends all advertising."""
        for station in self._stations:
            station.silence()

    def transmit(self, station: Station, kind: int, data: bytes) -> None:
        """An advertising event of a station; it is judged when it has ended."""
        loop = asyncio.get_running_loop()
        now = int(loop.time() * 1e6)
        event = self._radio.transmit(station.number, now + self.rng.randrange(*START_US), data)
        loop.call_later((event[-1].end - now) / 1e6, self._ended, station, kind, event)

    def _ended(self, sender: Station, kind: int, event: list[Transmission]) -> None:
        for one in event:
            for number in self._radio.finish(one):
                receiver = self._stations[number]
                if self.rng.random() >= receiver.listening:
                    continue
                receiver.heard += 1
                row = self.heard_from[receiver.name]
                row[sender.name] = row.get(sender.name, 0) + 1
                dbm = self._radio.links[sender.number].get(number, self.physics.sensitivity_dbm)
                receiver.hear(Heard(sender.address, kind, round(dbm), one.data))

    def _relink(self) -> None:
        links: dict[int, dict[int, float]] = {station.number: {} for station in self._stations}
        for index, one in enumerate(self._stations):
            for other in self._stations[index + 1 :]:
                dbm = self._strength(one.name, other.name)
                if dbm is not None and dbm >= self.physics.sensitivity_dbm - self.physics.reach_db:
                    links[one.number][other.number] = links[other.number][one.number] = dbm
        self._radio.relink(links)

    def _strength(self, one: str, other: str) -> float | None:
        pair = frozenset((one, other))
        if pair in self._fixed:
            return self._fixed[pair]
        if one not in self._places or other not in self._places:
            return None
        physics = self.physics
        distance = max(math.dist(self._places[one], self._places[other]), 1.0)
        loss = physics.reference_db + 10 * physics.exponent * math.log10(distance)
        shadow = random.Random(f"{self._seed} {sorted(pair)}").gauss(0.0, physics.shadow_db)
        return physics.tx_dbm - loss + shadow
