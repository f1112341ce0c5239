"""A node as the gateway sees it: seals what it says, opens what it hears."""

from __future__ import annotations

from collections.abc import Iterable

from fieldline_gateway.ingest.downlinks import Downlink
from fieldline_gateway.registry import Node
from fieldline_host.ccm import AesCcm
from fieldline_wire.messages import Ack, Gap, Hello, Reading, Report, decode
from fieldline_wire.seal import open_sealed, peek, seal_uplink

KEY = bytes(range(16))
OTHER_KEY = bytes(16)


class FakeNode:
    """One device; two with the same id and key are clones."""

    def __init__(self, number: int = 1, *, key: bytes = KEY, epoch: int = 1, stream: int = 7) -> None:
        self.id = bytes(7) + bytes([number])
        self.key = key
        self.epoch = epoch
        self.stream = stream
        self.counter = 0
        self.added_ms = 1

    def enrolled(self, *, revoked: bool = False, key_number: int = 0) -> Node:
        """As the registry has it."""
        return Node(
            self.id, f"node-{self.id[-1]}", key_number, self.key, self.added_ms, 2 if revoked else None
        )

    def reboot(self) -> None:
        self.epoch += 1
        self.counter = 0

    def seal(self, message: bytes) -> bytes:
        sealed = seal_uplink(AesCcm(self.key), self.id, 0, self.epoch, self.counter, message)
        self.counter += 1
        return sealed

    def report(self, first: int, count: int = 1, cls: int = 1, **fields: object) -> bytes:
        """A sealed Report of readings whose values are their numbers."""
        readings = [Reading(10 * i, 1, 1, 0, first + i) for i in range(count)]
        fields = {"base_time": 60, "epoch": self.epoch, **fields}
        return self.seal(Report(cls, self.stream, first, readings=readings, **fields).to_bytes())  # type: ignore[arg-type]

    def gap(self, first: int, last: int, cls: int = 1, reason: int = 1) -> bytes:
        return self.seal(Gap(cls, self.stream, first, last, reason).to_bytes())

    def hello(
        self, classes: Iterable[tuple[int, int, int]] = ((0, 1, 1), (1, 1, 1), (2, 1, 1)), **fields: int
    ) -> bytes:
        """A sealed Hello; `classes` as (class, next, oldest)."""
        return self.seal(Hello(self.stream, classes=list(classes), **fields).to_bytes())  # type: ignore[arg-type]

    def hear(self, downlinks: Iterable[Downlink]) -> list[object]:
        """The messages that are for this node; PeerError where one is not sealed right."""
        heard = []
        for downlink in downlinks:
            if downlink.node == self.id:
                header = peek(downlink.sealed)
                assert header.downlink and header.epoch == self.epoch
                heard.append(decode(open_sealed(AesCcm(self.key), header, downlink.sealed)))
        return heard

    def acks(self, downlinks: Iterable[Downlink]) -> dict[int, Ack]:
        """The last Ack of each class."""
        return {message.cls: message for message in self.hear(downlinks) if isinstance(message, Ack)}


def settled(ack: Ack, first: int, last: int) -> bool:
    """Whether an Ack covers these numbers."""
    return last < ack.next or any(low <= first and last <= high for low, high in ack.ranges)
