"""All messages under one name, and decode() (wire.md 5).

Rules: a node short of memory imports `readings`, `health`, `control` and `codes` itself; a type that is
not known is no error (wire.md 1.3).
"""

from fieldline_wire.codes import *  # noqa: F403
from fieldline_wire.control import Command as Command
from fieldline_wire.control import Config as Config
from fieldline_wire.control import Result as Result
from fieldline_wire.errors import PeerError
from fieldline_wire.fields import Message, Value
from fieldline_wire.health import Hello as Hello
from fieldline_wire.health import Log as Log
from fieldline_wire.health import TimeSync as TimeSync
from fieldline_wire.readings import Ack as Ack
from fieldline_wire.readings import Gap as Gap
from fieldline_wire.readings import Reading as Reading
from fieldline_wire.readings import Report as Report

# wire.md 5.1: the type is the index plus one
_BY_TYPE = (Hello, Report, Gap, Ack, Config, Command, Result, Log, TimeSync)
_UPDATES = 0x20  # to 0x2F, in update/messages.py: update.md 9.1


class Unknown(Value):
    """A message of a type that this version does not know."""

    __slots__ = ("body", "type")

    def __init__(self, type: int, body: bytes) -> None:
        self.type = type
        self.body = body


def decode(data: bytes) -> Message | Unknown:
    """The message in `data`, or Unknown; PeerError where it is malformed."""
    if not data:
        raise PeerError("an empty message")
    kind = data[0]
    if 1 <= kind <= len(_BY_TYPE):
        return _BY_TYPE[kind - 1].from_bytes(data)
    if kind & 0xF0 == _UPDATES:
        from fieldline_wire.update.messages import BY_TYPE  # for updates alone: it takes memory

        if kind in BY_TYPE:
            return BY_TYPE[kind].from_bytes(data)
    return Unknown(kind, data[1:])
