"""What our own node hears on air, and how strongly a bridge heard it.

Rules: the signal strength is that of the last transmitter: it counts for a node only where its PDU came with no
relay between. Proxies tell none, nor do bridges with a firmware from before they could.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fieldline_wire.mesh.heard import Heard
from fieldline_wire.mesh.network import NetworkPdu

_WEIGHT = 0.25
"""Of the newest value in a mean: single PDUs differ by some 10 dB indoors."""

Came = Callable[[NetworkPdu, int], None]


class Ears(Heard):
    """`came` is told of every PDU that is new, and of its bearer."""

    __slots__ = ("came", "means", "rssi", "via")

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.came: list[Came] = []
        self.via: str | None = None
        """The bridge that heard what is being taken up now; None: it comes by a proxy."""
        self.rssi: int | None = None
        """Of that, in dBm."""
        self.means: dict[int, float] = {}
        """Mean dBm by source, of what came with no relay between."""

    @contextmanager
    def over(self, via: str, rssi: int | None) -> Iterator[None]:
        """What is taken up within was heard by this bridge."""
        self.via, self.rssi = via, rssi
        try:
            yield
        finally:
            self.via = self.rssi = None

    def take(self, pdu: NetworkPdu, bearer: int) -> None:
        for tell in self.came:
            tell(pdu, bearer)
        super().take(pdu, bearer)
        row = self.rows.get(pdu.src)
        if self.rssi is not None and row is not None and row[0] == pdu.ttl:
            mean = self.means.get(pdu.src, self.rssi)
            self.means[pdu.src] = mean + _WEIGHT * (self.rssi - mean)

    def report(self) -> bytes:
        """As Heard has it; who is no neighbour any more has no mean either."""
        report = super().report()
        self.means = {src: mean for src, mean in self.means.items() if src in self.rows}
        return report
