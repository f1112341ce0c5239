"""The port between the store and a sink: what a sink is given, and what it must do.

Rules: a sink reads at its own pace and slows nobody. It commits a position only when its peer has
acknowledged everything of that class up to it; what was not committed is read again after a restart (a
repeat is fine, a loss is not). A sink never imports the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fieldline_gateway.records import Position, StoredRecord


class Reader(Protocol):
    """One sink's view of the store, from its durable cursor on."""

    async def next_batch(self, limit: int) -> Sequence[StoredRecord]:
        """Wait until there is something; then 1 to `limit` records of ONE class, in the order of that class.

        Alarm goes before live, live before bulk. A batch may be asked for while earlier ones are not
        committed. Only records that are on disk are given. Numbers that were evicted unread come as records
        of KIND_GAP with reason 4.
        """
        ...

    def commit(self, position: Position) -> None:
        """All records of `position.cls` up to and including `position.seq` are delivered.

        Never goes back; cheap, call it as often as you like (it is written to disk at most each 100 ms).
        """
        ...

    def rewind(self) -> None:
        """Read again from the last commit: for a sink that lost its connection with batches open."""
        ...


class Sink(Protocol):
    """A reader of the store."""

    @property
    def name(self) -> str:
        """Names the durable cursor: never change it, or the sink starts again at the oldest record."""
        ...

    async def run(self, reader: Reader) -> None:
        """Deliver until cancelled. Handles its own reconnects; what it raises ends it and is logged."""
        ...

    def status(self) -> dict[str, object]:
        """Counters for `fieldline gateway status`: plain JSON values, no secrets."""
        ...
