"""Records and a store for tests of the gateway."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

from fieldline_gateway.records import KIND_REPORT, LIVE, Record, StoredRecord
from fieldline_gateway.store.files import Files
from fieldline_gateway.store.segment import Group
from fieldline_gateway.store.state import StoreState
from fieldline_gateway.store.store import Store, StoreSettings
from fieldline_wire.messages import Reading, Report

NODE = bytes.fromhex("0102030405060708")
NOW_MS = 1_790_000_000_000


def report(
    number: int, count: int = 1, *, cls: int = LIVE, node: bytes = NODE, stream: int = 7, pad: bytes = b""
) -> Record:
    """A stored report with `count` readings from `number` on; `pad` makes it longer (and no wire message)."""
    readings = [Reading(offset=i, sensor=1, quantity=1, flags=0, value=number + i) for i in range(count)]
    message = Report(cls=cls, stream=stream, first=number, base_time=60, epoch=1, readings=readings)
    return Record(
        cls,
        KIND_REPORT,
        node,
        stream,
        number,
        number + count - 1,
        1,
        number,
        NOW_MS,
        0,
        NOW_MS,
        message.to_bytes() + pad,
    )


def packed(records: Iterable[Record], first_seq: int, salt: int, room: int = 0) -> bytes:
    """The records as one group in a segment with this salt."""
    group = Group(first_seq)
    for record in records:
        group.add(record)
    return group.to_bytes(salt, room)


def new_store(files: Files, folder: Path, settings: StoreSettings | None = None) -> Store:
    """A store on `files` with its state in `folder`."""
    salts = itertools.count(0xABCD0000)
    return Store(
        files,
        StoreState(folder / "state.db"),
        settings or StoreSettings(segment_bytes=4096),
        utc_ms=lambda: NOW_MS,
        random32=lambda: next(salts),
    )


async def everything(store: Store, cls: int) -> list[StoredRecord]:
    """All that stands in a class's log, gaps included."""
    from fieldline_gateway.records import Position

    return [stored async for batch in store.replay(Position(cls, 0)) for stored in batch]
