"""The devices of the edge node and their metrics: names, aliases, last values.

Rules: an alias is unique in the whole edge node and stays as long as the process lives. A device's metrics
only grow, so that what a birth has declared stays true. Device ids differ by more than upper and lower case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from fieldline_gateway.sparkplug.datatypes import DataType, Value
from fieldline_gateway.sparkplug.errors import UsageError
from fieldline_gateway.sparkplug.payload import Metric, Property
from fieldline_gateway.sparkplug.points import FIXED, Sample, point_metric
from fieldline_gateway.sparkplug.topics import check_id
from fieldline_wire.quantities import QUANTITIES

REBOOT = "Device Control/Reboot"
IDENTIFY = "Device Control/Identify"
CONTROLS: tuple[tuple[str, DataType], ...] = ((REBOOT, DataType.BOOLEAN), (IDENTIFY, DataType.BOOLEAN))
"""What a host may write to a device; their value in a birth is false."""


class Known(NamedTuple):
    """What is kept of a device from one start to the next."""

    node: bytes
    points: tuple[tuple[int, int], ...]
    """(sensor, quantity) of each reading that it ever sent."""


@dataclass(slots=True)
class Slot:
    """One metric: what a birth declares, and the newest value that was sent."""

    name: str
    datatype: DataType
    alias: int | None
    unit: str = ""
    value: Value | None = None
    timestamp: int | None = None
    """UTC, ms since 1970; None for a value that is true at any time, such as a control's."""
    properties: tuple[tuple[str, Property], ...] = ()

    def keep(self, sample: Sample) -> None:
        """Remember `sample` for the next birth, unless a newer one is there."""
        if self.timestamp is None or sample.timestamp >= self.timestamp:
            self.value, self.timestamp, self.properties = sample.value, sample.timestamp, sample.properties

    def birth(self, now_ms: int) -> Metric:
        """The metric as NBIRTH and DBIRTH declare it, with its current value or null."""
        properties = self.properties
        if self.unit:
            properties += (("engUnit", Property(DataType.STRING, self.unit)),)
        return Metric(
            name=self.name,
            alias=self.alias,
            timestamp=now_ms if self.timestamp is None else self.timestamp,
            datatype=self.datatype,
            value=self.value,
            is_null=self.value is None,
            properties=properties,
        )

    def data(self, sample: Sample, historical: bool) -> Metric:
        """`sample` as NDATA and DDATA carry it: by alias, without name and datatype (section 6.4.6)."""
        return Metric(
            alias=self.alias,
            timestamp=sample.timestamp,
            datatype=self.datatype,
            value=sample.value,
            is_historical=historical,
            properties=sample.properties,
            declare=False,
        )


class Aliases:
    """Numbers for all metrics of the edge node and its devices (section 6.4.6, alias-uniqueness)."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """A number that no metric has."""
        self._last += 1
        return self._last


class Device:
    """One Fieldline node as a Sparkplug device."""

    def __init__(self, node: bytes, device_id: str, aliases: Aliases) -> None:
        self.node = node
        self.device_id = device_id
        self.born = False
        """A DBIRTH was sent in this session, and no DDEATH since."""
        self.silent = True
        """Nothing fresh was heard of it."""
        self.sent_ms = 0
        """When data of it was last sent, by the clock that never steps."""
        self.slots: dict[str, Slot] = {}
        self.points: dict[tuple[int, int], None] = {}
        self._aliases = aliases
        for name, datatype, unit in FIXED:
            self._add(name, datatype, unit)
        for name, datatype in CONTROLS:
            self._add(name, datatype).value = False

    def _add(self, name: str, datatype: DataType, unit: str = "") -> Slot:
        self.slots[name] = Slot(name, datatype, self._aliases.next(), unit)
        return self.slots[name]

    def learn(self, point: tuple[int, int] | None) -> bool:
        """Give a reading's metric a slot; whether it is a new one."""
        if point is None or point in self.points:
            return False
        self.points[point] = None
        self._add(*point_metric(*point))
        return True

    def controls(self) -> list[Slot]:
        """The slots that a host may write to."""
        return [self.slots[name] for name, _ in CONTROLS]


class Devices:
    """All devices, by node."""

    def __init__(self, name_of: Callable[[bytes], str]) -> None:
        self.aliases = Aliases()
        self.refused_names = 0
        """Names that could be no device id, or are another device's; the node id stands in for each."""
        self.changed = False
        """The catalogue differs from the one last asked for."""
        self._name_of = name_of
        self._devices: dict[bytes, Device] = {}
        self._ids: dict[str, bytes] = {}

    def __iter__(self) -> Iterator[Device]:
        return iter(self._devices.values())

    def __len__(self) -> int:
        return len(self._devices)

    def get(self, node: bytes) -> Device | None:
        """The device of `node`, if it is known."""
        return self._devices.get(node)

    def by_id(self, device_id: str) -> Device | None:
        """The device of that id, upper and lower case told apart."""
        device = self._devices.get(self._ids.get(device_id.lower(), b""))
        return device if device is not None and device.device_id == device_id else None

    def add(self, node: bytes) -> Device:
        """The device of `node`, new if need be."""
        device = self._devices.get(node)
        if device is None:
            device = Device(node, self._id_for(node), self.aliases)
            self._devices[node] = device
            self._ids[device.device_id.lower()] = node
            self.changed = True
        return device

    def _id_for(self, node: bytes) -> str:
        """The name that the operator gave, or the node id where that name cannot be used."""
        wanted = self._name_of(node)
        try:
            check_id("device id", wanted)
        except UsageError:
            wanted = ""
        if wanted and wanted.lower() not in self._ids:
            return wanted
        self.refused_names += 1
        # A node id is 16 hexadecimal digits; a name that looks like another node's must not take its place.
        unused = node.hex()
        while unused in self._ids:
            unused += "_"
        return unused

    def remove(self, node: bytes) -> Device | None:
        """Forget the device of `node`."""
        device = self._devices.pop(node, None)
        if device is not None:
            del self._ids[device.device_id.lower()]
            self.changed = True
        return device

    def learn(self, device: Device, points: Iterable[tuple[int, int] | None]) -> bool:
        """Give each point a slot; whether one of them is new."""
        new = [device.learn(point) for point in points]
        self.changed = self.changed or any(new)
        return any(new)

    def load(self, catalogue: Iterable[Known]) -> None:
        """Take what was kept at the last start; a quantity that is not known any more is left out."""
        for known in catalogue:
            device = self.add(known.node)
            self.learn(device, [point for point in known.points if point[1] in QUANTITIES])
        self.changed = False

    def catalogue(self) -> tuple[Known, ...]:
        """What to keep for the next start."""
        self.changed = False
        return tuple(Known(device.node, tuple(device.points)) for device in self)
