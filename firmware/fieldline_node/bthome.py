"""BTHome v2: the node's newest readings as an advert that Home Assistant reads with no gateway (bthome.io/format).

/bthome.json asks for it, and says how often:

    {"interval_ms": 10000}

Rules: imported only where the file is there; on a mesh the adverts take their turn at the mesh's radio. They are not
encrypted, and no part of the promise: what nobody hears is gone. It is one advert, so that the readings of a kind
keep their place in it; what does not fit is left out.
"""

import json

from fieldline_node.errors import IdentityError
from fieldline_wire.codes import (
    QTY_ACCELERATION,
    QTY_COUNT,
    QTY_CURRENT,
    QTY_HUMIDITY,
    QTY_POWER,
    QTY_PRESSURE,
    QTY_SPEED,
    QTY_TEMPERATURE,
    QTY_VOLTAGE,
    const,
)

PATH = "/bthome.json"
AD_SERVICE_DATA = const(0x16)  # 16-bit UUID: Core Specification Supplement, part A, 1.11
MAX_DATA = const(29)  # of a legacy advert behind length and type
COPIES = const(3)  # of an advert, each on its own event: scanners hear one channel at a time

_SHORTEST_MS = const(1000)  # three events: more often would crowd a mesh
_HEAD = b"\xd2\xfc\x40"  # UUID 0xFCD2; version 2, not encrypted, regular
_PACKET_ID = const(0)

# quantity: (object id, bytes, signed, our units in one of theirs); wire.md 5.8, bthome.io/format
_OBJECTS = {
    QTY_TEMPERATURE: (0x02, 2, True, 1),
    QTY_HUMIDITY: (0x03, 2, False, 1),
    QTY_PRESSURE: (0x04, 3, False, 1),
    QTY_POWER: (0x0B, 3, False, 10),
    QTY_VOLTAGE: (0x0C, 2, False, 1),
    QTY_COUNT: (0x3E, 4, False, 1),
    QTY_CURRENT: (0x43, 2, False, 10),
    QTY_ACCELERATION: (0x51, 2, False, 1),
    QTY_SPEED: (0x61, 2, False, 10),
}


def service_data(readings, packet: int) -> bytes:
    """The service data of an advert; `readings`: (sensor, quantity, value) in units of wire.md 5.8.

    `packet`: modulo 256, another with each new advert. What BTHome has no object or no room for is left out.
    """
    objects = []
    for sensor, quantity, value in readings:
        if quantity not in _OBJECTS:
            continue
        number, size, signed, units = _OBJECTS[quantity]
        value = (value + units // 2) // units
        low = -(1 << 8 * size - 1) if signed else 0
        if low <= value < (1 << 8 * size) + low:
            coded = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
            objects.append((number, sensor, bytes((number,)) + coded))
    objects.sort()
    data = _HEAD + bytes((_PACKET_ID, packet & 0xFF))
    for _, _, coded in objects:
        if len(data) + len(coded) <= MAX_DATA:
            data += coded
    return data


class Beacon:
    """Says the newest readings each `interval_ms` over `bearer` (ports.py)."""

    __slots__ = ("_bearer", "_data", "_interval", "_left", "_next", "_packet", "newest")

    def __init__(self, bearer, interval_ms: int) -> None:
        self._bearer = bearer
        self._interval = interval_ms
        self._next = 0
        self._packet = 0
        self._left = 0
        self._data = b""
        self.newest = {}  # (sensor, quantity): value

    def keep(self, sensor: int, quantity: int, value: int) -> None:
        """A reading was taken."""
        self.newest[sensor, quantity] = value

    def step(self, now: int) -> int:
        """Sends what is due; ms until the next."""
        bearer = self._bearer
        wait = bearer.poll(now)
        if now >= self._next and self.newest:
            self._next = now + self._interval
            rows = [(sensor, quantity, value) for (sensor, quantity), value in self.newest.items()]
            self._data = service_data(rows, self._packet)
            self._packet = (self._packet + 1) & 0xFF
            self._left = COPIES
        if self._left and bearer.ready:
            self._left -= 1
            bearer.send(now, AD_SERVICE_DATA, self._data)
            wait = bearer.poll(now)
        if self._left or not self.newest:
            return wait
        return min(wait, max(0, self._next - now))


def make_beacon(port: str, link) -> Beacon:
    """What says the readings. IdentityError where the file cannot be used, or the radio does not start.

    `port`: drivers/<port>/ has the radio, where `link` has none.
    """
    try:
        with open(PATH) as file:
            interval = int(json.loads(file.read())["interval_ms"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IdentityError("%s: %r" % (PATH, error)) from None
    if interval < _SHORTEST_MS:
        raise IdentityError("%s: interval_ms is %d, the least is %d" % (PATH, interval, _SHORTEST_MS))
    try:
        bearer = getattr(link, "bearer", None)
        if bearer is None:
            ble = __import__("fieldline_node.drivers.%s.ble" % port, None, None, ("Bearer",))
            bearer = ble.Bearer(False)
    except OSError as error:
        raise IdentityError("%s: Bluetooth does not start: %r" % (PATH, error)) from None
    return Beacon(bearer, interval)
