"""A message on its way through the rules: plain values, and the records made of them."""

from __future__ import annotations

from typing import NamedTuple

from fieldline_gateway.ingest.node import NodeState
from fieldline_gateway.records import Record
from fieldline_wire.seal import Header


class Moment(NamedTuple):
    """Now."""

    utc_ms: int
    mono_ms: int


class Came(NamedTuple):
    """A message that passed the seal and the window, with all around it."""

    now: Moment
    link: str
    header: Header
    state: NodeState
    payload: bytes

    def record(self, cls: int, kind: int, time_ms: int, quality: int) -> Record:
        """The record of a message without numbers."""
        return self.numbered(cls, kind, time_ms, quality, self.payload, 0, 0, 0)

    def numbered(
        self,
        cls: int,
        kind: int,
        time_ms: int,
        quality: int,
        payload: bytes,
        stream: int,
        first: int,
        last: int,
    ) -> Record:
        """The record of a Report or Gap, or of a part of one."""
        header = self.header
        return Record(
            cls,
            kind,
            header.node,
            stream,
            first,
            last,
            header.epoch,
            header.counter,
            time_ms,
            quality,
            self.now.utc_ms,
            payload,
        )
