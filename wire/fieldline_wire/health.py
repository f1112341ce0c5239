"""How a node is: Hello, Log, TimeSync (wire.md 5.6, 5.14, 5.15).

Rules: health is its own view, apart from readings; an absent TLV is None or an empty list, never a guess.
"""

import struct

from fieldline_wire.codes import CLASSES, SLOT_NONE, const
from fieldline_wire.errors import PeerError
from fieldline_wire.fields import (
    Message,
    check,
    check_class,
    pack,
    read_tlvs,
    text,
    tlv,
    unpack_value,
    write_tlvs,
)

PROTOCOL = const(1)  # wire.md 5.6
MAX_LOG_TEXT = const(200)  # bytes of UTF-8; wire.md 5.14

# TLVs of a Hello: wire.md 5.6
_BOARD = const(1)
_FIRMWARE = const(2)
_CLASS_STATE = const(3)
_BATTERY = const(4)
_LINK = const(5)
_SENSOR_STATE = const(6)
_OUTBOX = const(7)


class Hello(Message):
    """What a node says of itself. Times in s, heap in bytes, battery in mV; codes RESET_*, SLOT_*, HELLO_*.

    classes: (class, next number, oldest kept number); sensors: (sensor, SENSOR_*);
    link: (frames in, frames out, CRC errors, noise bytes); outbox: (used bytes, size bytes, dropped count).
    """

    __slots__ = (
        "battery_mv",
        "board",
        "classes",
        "config_version",
        "firmware",
        "flags",
        "heap_free",
        "link",
        "outbox",
        "protocol",
        "reset_cause",
        "sensors",
        "slot",
        "stream",
        "unknown",
        "uptime",
    )
    TYPE = 0x01
    FIXED = ">BBBBIIIIB"

    def __init__(
        self,
        stream: int,
        reset_cause: int = 0,
        slot: int = SLOT_NONE,
        uptime: int = 0,
        heap_free: int = 0,
        config_version: int = 0,
        flags: int = 0,
        protocol: int = PROTOCOL,
        board: str | None = None,
        firmware: str | None = None,
        classes: list[tuple[int, int, int]] | None = None,
        battery_mv: int | None = None,
        link: tuple[int, int, int, int] | None = None,
        sensors: list[tuple[int, int]] | None = None,
        outbox: tuple[int, int, int] | None = None,
        unknown: list[tuple[int, bytes]] | None = None,
    ) -> None:
        self.stream = stream
        self.reset_cause = reset_cause
        self.slot = slot
        self.uptime = uptime
        self.heap_free = heap_free
        self.config_version = config_version
        self.flags = flags
        self.protocol = protocol
        self.board = board
        self.firmware = firmware
        self.classes = classes or []
        self.battery_mv = battery_mv
        self.link = link
        self.sensors = sensors or []
        self.outbox = outbox
        self.unknown = unknown or []

    def to_bytes(self) -> bytes:
        """The message; UsageError for a field out of range."""
        fixed = pack(
            self.FIXED,
            self.TYPE,
            self.protocol,
            self.reset_cause,
            self.slot,
            self.uptime,
            self.heap_free,
            self.stream,
            self.config_version,
            self.flags,
        )
        return fixed + self._tlvs()

    def _tlvs(self) -> bytes:
        parts = []
        if self.board is not None:
            parts.append(tlv(_BOARD, self.board.encode()))
        if self.firmware is not None:
            parts.append(tlv(_FIRMWARE, self.firmware.encode()))
        for state in self.classes:
            check("class", state[0], 0, CLASSES - 1)
            parts.append(tlv(_CLASS_STATE, pack(">BII", *state)))
        if self.battery_mv is not None:
            parts.append(tlv(_BATTERY, pack(">H", self.battery_mv)))
        if self.link is not None:
            parts.append(tlv(_LINK, pack(">IIII", *self.link)))
        for pair in self.sensors:
            parts.append(tlv(_SENSOR_STATE, pack(">BB", *pair)))
        if self.outbox is not None:
            parts.append(tlv(_OUTBOX, pack(">III", *self.outbox)))
        parts.append(write_tlvs(self.unknown))
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Hello":
        """The Hello in `data`; PeerError where it is malformed."""
        protocol, reset_cause, slot, uptime, heap_free, stream, config_version, flags = cls.fixed(data)
        hello = cls(stream, reset_cause, slot, uptime, heap_free, config_version, flags, protocol)
        for tag, value in read_tlvs(data, struct.calcsize(cls.FIXED)):
            hello._take(tag, value)
        return hello

    def _take(self, tag: int, value: bytes) -> None:
        if tag == _BOARD:
            self.board = text(value)
        elif tag == _FIRMWARE:
            self.firmware = text(value)
        elif tag == _CLASS_STATE:
            class_, next_number, oldest = unpack_value(">BII", value)
            self.classes.append((check_class(class_), next_number, oldest))
        elif tag == _BATTERY:
            self.battery_mv = unpack_value(">H", value)[0]
        elif tag == _LINK:
            frames_in, frames_out, crc_errors, noise = unpack_value(">IIII", value)
            self.link = (frames_in, frames_out, crc_errors, noise)
        elif tag == _SENSOR_STATE:
            sensor, state = unpack_value(">BB", value)
            self.sensors.append((sensor, state))
        elif tag == _OUTBOX:
            used, size, dropped = unpack_value(">III", value)
            self.outbox = (used, size, dropped)
        else:
            self.unknown.append((tag, value))


class Log(Message):
    """A log line: LOG_* level, uptime in s, and how many lines were lost since the last one sent."""

    __slots__ = ("level", "lost", "text", "uptime")
    TYPE = 0x08
    FIXED = ">BBHI"

    def __init__(self, level: int, text: str, lost: int = 0, uptime: int = 0) -> None:
        self.level = level
        self.text = text
        self.lost = lost
        self.uptime = uptime

    def to_bytes(self) -> bytes:
        """The message; UsageError for a field out of range or a text over MAX_LOG_TEXT bytes."""
        data = self.text.encode()
        check("bytes of text", len(data), 0, MAX_LOG_TEXT)
        return pack(self.FIXED, self.TYPE, self.level, self.lost, self.uptime) + data

    @classmethod
    def from_bytes(cls, data: bytes) -> "Log":
        """The log line in `data`; PeerError where it is malformed."""
        level, lost, uptime = cls.fixed(data)
        rest = data[struct.calcsize(cls.FIXED) :]
        if len(rest) > MAX_LOG_TEXT:
            raise PeerError("Log of %d bytes of text" % len(rest))
        return cls(level, text(rest), lost, uptime)


class TimeSync(Message):
    """A question for the time (`answer` False) or its answer: Unix time in `seconds` and `ms`.

    `uptime_ms` is the node's uptime modulo 2^32, which the answer gives back as it was asked.
    """

    __slots__ = ("answer", "ms", "seconds", "unknown", "uptime_ms")
    TYPE = 0x09
    FIXED = ">BBI"

    def __init__(
        self,
        uptime_ms: int,
        answer: bool = False,
        seconds: int = 0,
        ms: int = 0,
        unknown: list[tuple[int, bytes]] | None = None,
    ) -> None:
        self.uptime_ms = uptime_ms
        self.answer = answer
        self.seconds = seconds
        self.ms = ms
        self.unknown = unknown or []

    def to_bytes(self) -> bytes:
        """The message; UsageError for a field out of range."""
        data = pack(self.FIXED, self.TYPE, 1 if self.answer else 0, self.uptime_ms)
        if self.answer:
            check("ms", self.ms, 0, 999)
            data += pack(">IH", self.seconds, self.ms)
        return data + write_tlvs(self.unknown)

    @classmethod
    def from_bytes(cls, data: bytes) -> "TimeSync":
        """The TimeSync in `data`; PeerError where it is malformed."""
        answer, uptime_ms = cls.fixed(data)
        at = struct.calcsize(cls.FIXED)
        if answer == 0:
            return cls(uptime_ms, unknown=read_tlvs(data, at))
        if answer != 1 or len(data) < at + 6:
            raise PeerError("TimeSync %d of %d bytes" % (answer, len(data)))
        seconds, ms = struct.unpack_from(">IH", data, at)
        if ms > 999:
            raise PeerError("TimeSync of %d ms" % ms)
        return cls(uptime_ms, True, seconds, ms, read_tlvs(data, at + 6))
