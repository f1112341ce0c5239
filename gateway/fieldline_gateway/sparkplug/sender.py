"""The one place where messages get their seq: each is a Publish, to be sent in the order of its making.

Rules: seq is 0 in NBIRTH and one more in each message after it, 0 again after 255 (section 6.4.5). Everything
but NDEATH has QoS 0; nothing is retained. `born` of a device is true from its DBIRTH to its DDEATH.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fieldline_gateway.sparkplug import births
from fieldline_gateway.sparkplug.actions import Publish
from fieldline_gateway.sparkplug.config import EdgeConfig
from fieldline_gateway.sparkplug.datatypes import DataType
from fieldline_gateway.sparkplug.devices import Aliases, Device, Slot
from fieldline_gateway.sparkplug.payload import Metric
from fieldline_gateway.sparkplug.points import STORE_GAP
from fieldline_gateway.sparkplug.topics import Topics

WRAP = 256
"""bdSeq and seq are 0 to 255 (sections 5.4 and 6.4.5)."""


class Sender:
    """Makes the messages of one edge node."""

    def __init__(self, config: EdgeConfig, aliases: Aliases, last_bd_seq: int | None) -> None:
        self.topics = Topics(config.group, config.edge)
        self.bd_seq = WRAP - 1 if last_bd_seq is None else last_bd_seq
        self.published = 0
        self._seq = 0
        self._max_metrics = config.max_metrics
        self._max_payload = config.max_payload
        self._bd_seq = Slot(births.BD_SEQ, DataType.INT64, aliases.next())
        self.rebirth = Slot(births.REBIRTH, DataType.BOOLEAN, None, value=False)
        self.mark = Slot(births.MARK, DataType.INT64, aliases.next(), value=0)
        self.store_gap = Slot(STORE_GAP, DataType.INT64, aliases.next())
        software = Slot(births.SOFTWARE, DataType.STRING, aliases.next(), value=config.software)
        self._slots = (self._bd_seq, self.rebirth, self.mark, self.store_gap, software)

    def next_bd_seq(self) -> int:
        """The number of the CONNECT that comes next."""
        self.bd_seq = (self.bd_seq + 1) % WRAP
        return self.bd_seq

    def take_back_bd_seq(self) -> None:
        """No CONNECT had it."""
        self.bd_seq = (self.bd_seq - 1) % WRAP

    def ndeath(self, now_ms: int) -> Publish:
        """The Will, and what is published before an intended end: the one message with QoS 1."""
        return Publish(self.topics.ndeath, births.ndeath(now_ms, self.bd_seq), qos=1)

    def nbirth(self, now_ms: int) -> Publish:
        """The first message of a session or of a rebirth."""
        self._seq = 0
        self._bd_seq.value = self.bd_seq
        return self._publish(self.topics.nbirth, births.birth(now_ms, self._seq, self._slots))

    def dbirth(self, now_ms: int, device: Device) -> Publish:
        """A device with all its metrics."""
        device.born = True
        payload = births.birth(now_ms, self._next_seq(), device.slots.values())
        return self._publish(self.topics.device("DBIRTH", device.device_id), payload)

    def ddeath(self, now_ms: int, device: Device) -> Publish:
        """The end of a device."""
        device.born = False
        payload = births.ddeath(now_ms, self._next_seq())
        return self._publish(self.topics.device("DDEATH", device.device_id), payload)

    def ndata(self, now_ms: int, metrics: Iterable[Metric]) -> list[Publish]:
        """Values of the edge node itself."""
        return self._data(now_ms, self.topics.ndata, metrics)

    def ddata(self, now_ms: int, device: Device, metrics: Sequence[Metric]) -> list[Publish]:
        """Values of a device."""
        return self._data(now_ms, self.topics.device("DDATA", device.device_id), metrics)

    def _data(self, now_ms: int, topic: str, metrics: Iterable[Metric]) -> list[Publish]:
        return [
            self._publish(topic, births.data(now_ms, self._next_seq(), run))
            for run in births.runs(metrics, self._max_metrics, self._max_payload)
        ]

    def _next_seq(self) -> int:
        self._seq = (self._seq + 1) % WRAP
        return self._seq

    def _publish(self, topic: str, payload: bytes) -> Publish:
        self.published += 1
        return Publish(topic, payload)
