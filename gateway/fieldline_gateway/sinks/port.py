"""The port between the store and a sink: what a sink is given, and what it must do.

Rules: a sink reads at its own pace and slows nobody. It commits a position only when its peer has
acknowledged everything of that class up to it; what was not committed is read again after a restart (a
repeat is fine, a loss is not). A sink never imports the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fieldline_gateway.mqtt.codec.v5 import Will
from fieldline_gateway.pace import Pace
from fieldline_gateway.records import Position, Record, StoredRecord


class Reader(Protocol):
    """One sink's view of the store, from its durable cursor on."""

    async def next_batch(self, limit: int) -> Sequence[StoredRecord]:
        """Wait until there is something; then 1 to `limit` records of ONE class, in the order of that class.

        Alarm goes before live, live before bulk, all that before backlog (StoredRecord.late), which has an order
        of its own. A batch may be asked for while earlier ones are not committed. Only records that are on disk
        are given. Numbers that were evicted unread come as records of KIND_GAP with reason 4.
        """
        ...

    def commit(self, position: Position) -> None:
        """All records of `position.cls` up to and including `position.seq` that were given the same way as that
        one (as backlog, or not) are delivered.

        Never goes back; cheap, call it as often as you like (it is written to disk at most each 100 ms).
        """
        ...

    def rewind(self) -> None:
        """Read again from the last commit: for a sink that lost its connection with batches open."""
        ...


@dataclass(frozen=True, slots=True)
class Notice:
    """A retained message that does not come from the store: it says how things are now."""

    topic: str
    payload: bytes


class Herald(Protocol):
    """Says beside the readings what they are and who is there."""

    will: Will | None
    """What the server says for us when we are gone."""

    async def load(self) -> None:
        """Take what was kept at the last start; before anything else."""
        ...

    def known(self) -> Iterable[bytes]:
        """Nodes that others were told of."""
        ...

    def connected(self) -> list[Notice]:
        """All that a server has to know that knows nothing."""
        ...

    def seen(self, record: Record) -> list[Notice]:
        """What must be known before the messages of this record."""
        ...

    def heard(self, node: bytes) -> list[Notice]:
        """The node is there."""
        ...

    def silent(self, node: bytes) -> list[Notice]:
        """Nothing is heard of the node any more."""
        ...

    def removed(self, node: bytes) -> list[Notice]:
        """The node belongs to this gateway no more."""
        ...


class Silent:
    """The herald that says nothing."""

    will: Will | None = None

    async def load(self) -> None:
        """It keeps nothing."""

    def known(self) -> Iterable[bytes]:
        return ()

    def connected(self) -> list[Notice]:
        return []

    def seen(self, record: Record) -> list[Notice]:
        return []

    def heard(self, node: bytes) -> list[Notice]:
        return []

    def silent(self, node: bytes) -> list[Notice]:
        return []

    def removed(self, node: bytes) -> list[Notice]:
        return []


class Notes(Protocol):
    """What a sink keeps over restarts, under names of its own. GatewayError where the disk fails."""

    async def load(self, name: str) -> bytes | None:
        """What was kept last; None where nothing was."""
        ...

    async def save(self, name: str, value: bytes) -> None:
        """On disk when it returns."""
        ...


class Sink(Protocol):
    """A reader of the store."""

    pace: Pace | None
    """How its backlog goes out; None: all in the order in which it came."""

    @property
    def name(self) -> str:
        """Names the durable cursor: never change it, or the sink starts again at the oldest record."""
        ...

    async def run(self, reader: Reader) -> None:
        """Deliver until cancelled. Handles its own reconnects; what it raises ends it and is logged."""
        ...

    async def told(self) -> Iterable[bytes]:
        """Nodes that others were told of, in an earlier run too. Before run()."""
        ...

    def heard(self, node: bytes) -> None:
        """The gateway hears this node."""
        ...

    def silent(self, node: bytes) -> None:
        """It hears it no more."""
        ...

    def removed(self, node: bytes) -> None:
        """The node was revoked or forgotten."""
        ...

    def status(self) -> dict[str, object]:
        """Counters for `fieldline gateway status`: plain JSON values, no secrets."""
        ...
