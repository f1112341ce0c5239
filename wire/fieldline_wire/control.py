"""What a gateway asks of a node and the node's answer: Config, Command, Result (wire.md 5.11 to 5.13).

Rules: this module says what was asked; whether it may be done is the node's own decision.
"""

import struct

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError
from fieldline_wire.fields import U8, Message, check, pack, read_tlvs, tlv, unpack_value, write_tlvs

MAX_ARGUMENT = const(128)  # bytes, also of a result's payload; wire.md 5.12, 5.13

_REPORTED = const(0x01)
_REFUSED = const(0x02)
_WHY = const(1)
_SETTING = ">BBi"
_SETTING_SIZE = const(6)


class Config(Message):
    """Desired (downlink) or reported (uplink) settings: (sensor, KEY_*, value).

    `refused` is (sensor, key, REFUSED_*) where the node changed nothing, else None.
    """

    __slots__ = ("refused", "reported", "settings", "unknown", "version")
    TYPE = 0x05
    FIXED = ">BIBB"

    def __init__(
        self,
        version: int,
        settings: list[tuple[int, int, int]] | None = None,
        reported: bool = False,
        refused: tuple[int, int, int] | None = None,
        unknown: list[tuple[int, bytes]] | None = None,
    ) -> None:
        self.version = version
        self.settings = settings or []
        self.reported = reported
        self.refused = refused
        self.unknown = unknown or []

    def to_bytes(self) -> bytes:
        """The message; UsageError for a field out of range."""
        check("settings", len(self.settings), 0, U8)
        flags = (_REPORTED if self.reported else 0) | (_REFUSED if self.refused is not None else 0)
        parts = [pack(self.FIXED, self.TYPE, self.version, flags, len(self.settings))]
        for sensor, key, value in self.settings:
            parts.append(pack(_SETTING, sensor, key, value))
        if self.refused is not None:
            parts.append(tlv(_WHY, pack(">BBB", *self.refused)))
        parts.append(write_tlvs(self.unknown))
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Config":
        """The Config in `data`; PeerError where it is malformed."""
        version, flags, count = cls.fixed(data)
        at = struct.calcsize(cls.FIXED)
        end = at + count * _SETTING_SIZE
        if len(data) < end:
            raise PeerError("Config of %d settings in %d bytes" % (count, len(data)))
        settings = []
        while at < end:
            sensor, key, value = struct.unpack_from(_SETTING, data, at)
            settings.append((sensor, key, value))
            at += _SETTING_SIZE
        config = cls(version, settings, bool(flags & _REPORTED))
        for tag, body in read_tlvs(data, end):
            if tag == _WHY:
                sensor, key, why = unpack_value(">BBB", body)
                config.refused = (sensor, key, why)
            else:
                config.unknown.append((tag, body))
        if bool(flags & _REFUSED) != (config.refused is not None):
            raise PeerError("Config whose flag and reason of refusal disagree")
        return config


class Command(Message):
    """Do CMD_* `code` with `argument`, within `ttl` s; `id` makes a repeat harmless."""

    __slots__ = ("argument", "code", "id", "ttl")
    TYPE = 0x06
    FIXED = ">BIHB"

    def __init__(self, id: int, code: int, argument: bytes = b"", ttl: int = 0) -> None:
        self.id = id
        self.code = code
        self.argument = argument
        self.ttl = ttl

    def to_bytes(self) -> bytes:
        """The message; UsageError for a field out of range."""
        check("bytes of argument", len(self.argument), 0, MAX_ARGUMENT)
        return pack(self.FIXED, self.TYPE, self.id, self.ttl, self.code) + self.argument

    @classmethod
    def from_bytes(cls, data: bytes) -> "Command":
        """The command in `data`; PeerError where it is malformed."""
        id_, ttl, code = cls.fixed(data)
        return cls(id_, code, _rest(data, struct.calcsize(cls.FIXED)), ttl)


class Result(Message):
    """What became of command `id`: RESULT_* `status` and the command's own payload."""

    __slots__ = ("id", "payload", "status")
    TYPE = 0x07
    FIXED = ">BIB"

    def __init__(self, id: int, status: int, payload: bytes = b"") -> None:
        self.id = id
        self.status = status
        self.payload = payload

    def to_bytes(self) -> bytes:
        """The message; UsageError for a field out of range."""
        check("bytes of payload", len(self.payload), 0, MAX_ARGUMENT)
        return pack(self.FIXED, self.TYPE, self.id, self.status) + self.payload

    @classmethod
    def from_bytes(cls, data: bytes) -> "Result":
        """The result in `data`; PeerError where it is malformed."""
        id_, status = cls.fixed(data)
        return cls(id_, status, _rest(data, struct.calcsize(cls.FIXED)))


def _rest(data: bytes, at: int) -> bytes:
    """What follows the fixed part of a Command or Result; PeerError where it is too long."""
    if len(data) - at > MAX_ARGUMENT:
        raise PeerError("%d bytes after the fixed part" % (len(data) - at))
    return data[at:]
