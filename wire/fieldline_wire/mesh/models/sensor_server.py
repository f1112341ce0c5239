"""The Sensor Server and Sensor Setup Server (Mesh Model 1.0.1, 4.3): descriptor, status, cadence.

Rules: a sensor is a property id and a function that gives its raw value, of `size` bytes, little-endian, None
while there is none; a value that is not there is told as one of no length (Mesh Model 1.0.1, 4.2.14).
"""

import struct

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError
from fieldline_wire.mesh.access import Model, opcode
from fieldline_wire.mesh.models.opcodes import (
    SENSOR_CADENCE_GET,
    SENSOR_CADENCE_SET,
    SENSOR_CADENCE_SET_QUIET,
    SENSOR_CADENCE_STATUS,
    SENSOR_DESCRIPTOR_GET,
    SENSOR_DESCRIPTOR_STATUS,
    SENSOR_GET,
    SENSOR_SERVER,
    SENSOR_SETUP_SERVER,
    SENSOR_STATUS,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from fieldline_wire.mesh.transport import Access

# Mesh Device Properties 2.0
PROPERTY_TEMPERATURE = const(0x0054)  # Present Device Operating Temperature, 0.01 degree C, signed 16 bits
PROPERTY_VOLTAGE = const(0x0059)  # Present Input Voltage, 1/64 V, 16 bits
PROPERTY_CURRENT = const(0x0057)  # Present Input Current, 0.01 A, 16 bits
_NO_LENGTH = const(0x7F)
_MIN_POLL_MS = const(100)  # values are looked at no more often


class Sensor:
    """One sensor of an element."""

    __slots__ = ("cadence", "property", "read", "size", "told", "told_at")

    def __init__(self, property_id: int, size: int, read: "Callable[[], int | None]") -> None:
        self.property = property_id
        self.size = size  # bytes, at most 16
        self.read = read
        self.cadence = b""  # as it was set: fields after the property id (4.1.3)
        self.told: int | None = None  # the value published last, and when
        self.told_at = 0

    def marshalled(self) -> bytes:
        """Format A for a property below 0x800 and a value of at most 16 bytes, else format B (4.2.14.1)."""
        value = self.read()
        raw = b"" if value is None else _raw(value, self.size)
        length = len(raw) - 1 if raw else _NO_LENGTH
        if raw and self.property < 0x800:
            return struct.pack("<H", self.property << 5 | length << 1) + raw
        return struct.pack("<BH", length << 1 | 1, self.property) + raw


class SensorServer(Model):
    """Answers for `sensors`; publishes them all."""

    model_id = SENSOR_SERVER
    OPCODES = (SENSOR_DESCRIPTOR_GET, SENSOR_GET)

    def __init__(self, sensors: "list[Sensor]") -> None:
        super().__init__()
        self.sensors = sensors

    def published(self, now: int) -> "bytes | None":
        """Sensor Status of all sensors."""
        for one in self.sensors:
            one.told, one.told_at = one.read(), now
        return opcode(SENSOR_STATUS) + b"".join([one.marshalled() for one in self.sensors])

    def divisor(self) -> int:
        """By what the publish period is divided now: the fastest cadence whose range a value is in (4.1.3.6)."""
        fastest = 1
        for one in self.sensors:
            value = one.read() if one.cadence else None
            if value is not None:
                cadence = Cadence(one.size, one.cadence)
                raw = value & (1 << 8 * one.size) - 1
                inside = cadence.low <= raw <= cadence.high
                if cadence.high < cadence.low:
                    inside = not cadence.high < raw < cadence.low
                if inside:
                    fastest = max(fastest, cadence.divisor)
        return fastest

    def poll(self, now: int) -> int:
        """Publishes where a value moved by its trigger delta, at most every minimum interval (4.1.3.3)."""
        wait = 3600000
        if not self.state.publication.address:
            return wait
        for one in self.sensors:
            value = one.read() if one.cadence else None
            if value is None:
                continue
            cadence = Cadence(one.size, one.cadence)
            wait = min(wait, max(cadence.min_ms, _MIN_POLL_MS))
            if one.told is None:
                one.told, one.told_at = value, now
            elif now - one.told_at >= cadence.min_ms and cadence.triggered(one.told, value):
                one.told, one.told_at = value, now
                if self.node is not None:
                    self.node.publish(now, self, opcode(SENSOR_STATUS) + one.marshalled())
        return wait

    def receive(self, now: int, message: "Access", code: int, data: bytes) -> "bytes | None":
        """Handles one message."""
        if len(data) not in (0, 2):
            raise PeerError("a property id of %d bytes" % len(data))
        wanted = data[0] | data[1] << 8 if data else 0
        found = [one for one in self.sensors if not data or one.property == wanted]
        if code == SENSOR_GET:
            if data and not found:  # 4.3.1.2.2: a property of no length
                return opcode(SENSOR_STATUS) + struct.pack("<BH", _NO_LENGTH << 1 | 1, wanted)
            return opcode(SENSOR_STATUS) + b"".join([one.marshalled() for one in found])
        if data and not found:
            return opcode(SENSOR_DESCRIPTOR_STATUS) + data
        # 4.1.1: tolerances, sampling function, measurement period and update interval: all "not known".
        rows = [struct.pack("<H", one.property) + bytes(6) for one in found]
        return opcode(SENSOR_DESCRIPTOR_STATUS) + b"".join(rows)


class SensorSetupServer(Model):
    """Keeps each sensor's cadence (4.3.2)."""

    model_id = SENSOR_SETUP_SERVER
    OPCODES = (SENSOR_CADENCE_GET, SENSOR_CADENCE_SET, SENSOR_CADENCE_SET_QUIET)

    def __init__(self, sensors: "list[Sensor]") -> None:
        super().__init__()
        self.sensors = sensors

    def receive(self, now: int, message: "Access", code: int, data: bytes) -> "bytes | None":
        """Handles one message."""
        if len(data) < 2:
            raise PeerError("no property id")
        for one in self.sensors:
            if one.property == data[0] | data[1] << 8:
                if code != SENSOR_CADENCE_GET:
                    one.cadence = _cadence(one, data[2:])
                answer = opcode(SENSOR_CADENCE_STATUS) + data[:2] + one.cadence
                break
        else:
            answer = opcode(SENSOR_CADENCE_STATUS) + data[:2]
        return None if code == SENSOR_CADENCE_SET_QUIET else answer


class Cadence:
    """A cadence taken apart (4.1.3). `divisor`: how much faster within low..high; intervals in ms."""

    __slots__ = ("divisor", "down", "high", "low", "min_ms", "percent", "up")

    def __init__(self, size: int, data: bytes) -> None:
        self.percent = percent = data[0] >> 7 if data else 0
        delta = 2 if percent else size
        if len(data) != 2 * delta + 2 * size + 2:
            raise PeerError("a cadence of %d bytes" % len(data))
        self.divisor = 1 << min(data[0] & 0x7F, 15)
        self.down = int.from_bytes(data[1 : 1 + delta], "little")
        self.up = int.from_bytes(data[1 + delta : 1 + 2 * delta], "little")
        at = 1 + 2 * delta
        self.min_ms = 1 << min(data[at], 26)
        self.low = int.from_bytes(data[at + 1 : at + 1 + size], "little")
        self.high = int.from_bytes(data[at + 1 + size :], "little")

    def triggered(self, before: int, value: int) -> bool:
        """Whether going from `before` to `value` is worth telling."""
        delta = self.up if value > before else self.down
        moved = abs(value - before)
        if self.percent:  # in 0.01 %
            moved = moved * 10000 // abs(before) if before else 10000
        return bool(delta) and moved >= delta


def _raw(value: int, size: int) -> bytes:
    """Two's complement, little-endian."""
    return (value & (1 << 8 * size) - 1).to_bytes(size, "little")


def _cadence(sensor: Sensor, data: bytes) -> bytes:
    Cadence(sensor.size, data)
    if data[0] & 0x7F > 15:
        raise PeerError("a fast cadence divisor of 2^%d" % (data[0] & 0x7F))
    return data
