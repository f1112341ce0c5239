"""From records to messages: births of what hosts do not know yet, then the values (specification 3.0, section
5.15).

Rules: used while a session is on, and only then. A record is told of once in a session, and once more where
a host may have missed it. What is late says so by is_historical, and moves no live value of a host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from fieldline_gateway.records import KIND_DAMAGE, NO_NODE, StoredRecord
from fieldline_gateway.sparkplug.actions import Action, Commit, Ping, Publish, Subscribe
from fieldline_gateway.sparkplug.clock import Now
from fieldline_gateway.sparkplug.config import Confirm, EdgeConfig
from fieldline_gateway.sparkplug.delivery import Ledger, Turn, soonest
from fieldline_gateway.sparkplug.devices import Device, Devices
from fieldline_gateway.sparkplug.payload import Metric
from fieldline_gateway.sparkplug.points import Sample, samples
from fieldline_gateway.sparkplug.sender import Sender

FILTERS_A_SUBSCRIBE = 100
"""Topic filters in one SUBSCRIBE: some servers take no more."""

Told = dict[bytes, list[tuple[Sample, bool]]]
"""By node: each value, and whether it is historical. NO_NODE stands for the edge node itself."""


class Outflow:
    """The devices, what is sent of them, and how far that is settled."""

    def __init__(self, config: EdgeConfig, name_of: Callable[[bytes], str], last_bd_seq: int | None) -> None:
        self.devices = Devices(name_of)
        self.sender = Sender(config, self.devices.aliases, last_bd_seq)
        self.ledger = Ledger(config.settle_ms, config.mark_ms, config.confirm_ms, config.window)
        self.rebirths = self.told = self.resent = 0
        self._config = config
        self._began_ms = 0

    def begin(self, now: Now) -> list[Action]:
        """A session begins: NBIRTH, then a DBIRTH for each device that is there."""
        self._began_ms = now.utc_ms
        return self._birth_sequence(now)

    def end(self) -> None:
        """The session is over: its devices are gone for hosts, and what is not settled goes out anew."""
        self.ledger.reset()
        for device in self.devices:
            device.born = False

    def rebirth(self, now: Now) -> list[Action]:
        """The birth sequence anew."""
        self.rebirths += 1
        return self._birth_sequence(now)

    def _birth_sequence(self, now: Now) -> list[Action]:
        there = [device for device in self.devices if device.born or not device.silent]
        return [
            self.sender.nbirth(now.utc_ms),
            *(self.sender.dbirth(now.utc_ms, device) for device in there),
        ]

    def born(self, now: Now, device: Device) -> list[Action]:
        """A DBIRTH, where the session has seen none."""
        return [] if device.born else [self.sender.dbirth(now.utc_ms, device)]

    def subscribe(self, devices: Iterable[Device]) -> list[Action]:
        """To the commands of devices, as many filters at a time as servers take."""
        topics = self.sender.topics
        filters = [(topics.device("DCMD", device.device_id), 1) for device in devices]
        parts = range(0, len(filters), FILTERS_A_SUBSCRIBE)
        return [Subscribe(tuple(filters[at : at + FILTERS_A_SUBSCRIBE])) for at in parts]

    def records(self, now: Now, batch: Sequence[StoredRecord]) -> list[Action]:
        """All that the records say: births first, then values."""
        told = self._read(now, batch)
        own = told.pop(NO_NODE, [])
        births = self._declare(now, told)
        sent = self._own_values(now, own)
        for node, values in told.items():
            device = self.devices.add(node)
            metrics = self._values(device, values)
            if metrics:
                device.sent_ms = now.mono_ms
                sent.extend(self.sender.ddata(now.utc_ms, device, metrics))
        self.ledger.sent(now.mono_ms, batch[-1].position, len(sent))
        return [*births, *sent]

    def _read(self, now: Now, batch: Sequence[StoredRecord]) -> Told:
        """What is to be told of the records in this session."""
        told: Told = {}
        for stored in batch:
            turn = self.ledger.turn(stored.position)
            if turn is Turn.SKIP:
                continue
            self.told += turn is Turn.FIRST
            self.resent += turn is Turn.AGAIN
            late = turn is Turn.AGAIN or self._is_late(now, stored.record.received_ms)
            node = NO_NODE if stored.record.kind == KIND_DAMAGE else stored.record.node
            found = [(sample, late or sample.historical) for sample in samples(stored.record)]
            told.setdefault(node, []).extend(found)
        return told

    def _is_late(self, now: Now, received_ms: int) -> bool:
        """Whether a record is from before this session, or waited too long to be called live."""
        return received_ms < self._began_ms or now.utc_ms - received_ms > self._config.fresh_ms

    def _declare(self, now: Now, told: Told) -> list[Action]:
        """Births of what hosts do not know: a new device alone, a device's new metric with everything."""
        new = [self.devices.add(node) for node in told if self.devices.get(node) is None]
        grown = False
        for node, values in told.items():
            device = self.devices.add(node)
            if self.devices.learn(device, [sample.point for sample, _ in values]):
                grown = grown or device.born
            if not all(late for _, late in values):
                device.silent = False
        actions = self.subscribe(new)
        if grown:
            actions.extend(self.rebirth(now))
        for node, values in told.items():
            if values:
                actions.extend(self.born(now, self.devices.add(node)))
        return actions

    def _values(self, device: Device, values: list[tuple[Sample, bool]]) -> list[Metric]:
        """What is worth sending of a device's values; each is kept for the next birth."""
        metrics = []
        for sample, historical in values:
            slot = device.slots[sample.name]
            if sample.every or slot.value != sample.value:
                metrics.append(slot.data(sample, historical))
            slot.keep(sample)
        return metrics

    def _own_values(self, now: Now, values: list[tuple[Sample, bool]]) -> list[Publish]:
        """Damage of the store, which belongs to no device."""
        slot = self.sender.store_gap
        for sample, _ in values:
            slot.keep(sample)
        return self.sender.ndata(now.utc_ms, [slot.data(sample, late) for sample, late in values])

    def lingering(self) -> list[Device]:
        """Devices that were born only because a backlog was sent."""
        return [device for device in self.devices if device.born and device.silent]

    def poll(self, now: Now) -> list[Action]:
        """A mark where one is due; the end of devices that linger."""
        actions: list[Action] = []
        due = self.ledger.next_mark_ms()
        if due is not None and now.mono_ms >= due:
            actions.extend(self._mark(now))
        for device in self.lingering():
            if now.mono_ms - device.sent_ms >= self._config.linger_ms:
                actions.append(self.sender.ddeath(now.utc_ms, device))
        return actions

    def due_ms(self) -> int | None:
        """When poll() has something to do."""
        ends = [device.sent_ms + self._config.linger_ms for device in self.lingering()]
        return soonest([self.ledger.next_mark_ms(), *ends])

    def _mark(self, now: Now) -> list[Action]:
        number = self.ledger.mark(now.mono_ms)
        slot = self.sender.mark
        sample = Sample(slot.name, slot.datatype, number, now.utc_ms)
        slot.keep(sample)
        sent = self.sender.ndata(now.utc_ms, [slot.data(sample, historical=False)])
        return [*sent, Ping()] if self._config.confirm is Confirm.PING else [*sent]

    def confirmed(self, number: object) -> list[Action]:
        """The server has taken mark `number`; one that was never sent confirms nothing."""
        if not isinstance(number, int) or number > self.ledger.number:
            return []
        return [Commit(position) for position in self.ledger.confirm(number)]
