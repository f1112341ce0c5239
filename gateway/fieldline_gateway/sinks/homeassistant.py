"""Home Assistant's MQTT discovery beside the JSON payload (docs/payloads.md 2).

Rules: a herald: it says with retained messages which sensors there are and who is there; the readings themselves
are those of JsonPayload, which Home Assistant's template picks. A sensor is told when its first reading comes, and
on each new connection; with its node it is taken back.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable

from fieldline_gateway import logs
from fieldline_gateway.errors import GatewayError
from fieldline_gateway.mqtt.codec.v5 import Will
from fieldline_gateway.records import ALARM, CLASS_NAMES, KIND_HELLO, KIND_REPORT, Record
from fieldline_gateway.sinks.port import Notes, Notice
from fieldline_wire import messages as wire
from fieldline_wire.errors import PeerError
from fieldline_wire.quantities import QUANTITIES

DEFAULT_PREFIX = "homeassistant"
NOTE = "homeassistant"
ONLINE, OFFLINE = b"online", b"offline"

MAX_GONE = 256
"""Topics taken back that are remembered."""

DEVICE_CLASSES = {
    "temperature": "temperature",
    "voltage": "voltage",
    "current": "current",
    "power": "power",
    "humidity": "humidity",
    "pressure": "pressure",
    "frequency": "frequency",
}
"""Those of Home Assistant's classes whose units ours are; its `speed` is one of metres."""

_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_-]")

Sensor = tuple[int, int]
"""(sensor, quantity)"""


class HomeAssistant:
    """Tells of one gateway's nodes."""

    def __init__(
        self,
        gateway: str,
        topic_of: Callable[[bytes, str], str],
        name_of: Callable[[bytes], str],
        notes: Notes,
        prefix: str = DEFAULT_PREFIX,
    ) -> None:
        """`topic_of` (node, class): where JsonPayload publishes."""
        self._gateway = gateway
        self._topic_of = topic_of
        self._name_of = name_of
        self._notes = notes
        self._prefix = prefix
        self._known: dict[bytes, dict[Sensor, int]] = {}  # with the class in which its readings come
        self._about: dict[bytes, tuple[str, str]] = {}  # board, firmware
        self._here: set[bytes] = set()
        self._gone: dict[str, None] = {}  # topics taken back: again on each connection, as nobody confirms it
        self._saving: asyncio.Task[None] | None = None
        self._unsaved = False
        self.will: Will | None = Will(self._presence_topic(), OFFLINE, 1, True)

    async def load(self) -> None:
        """Take what was known at the last start."""
        kept = await self._notes.load(NOTE)
        found = json.loads(kept) if kept else {"known": [], "gone": []}
        for node, sensor, quantity, cls in found["known"]:
            self._known.setdefault(bytes.fromhex(node), {})[sensor, quantity] = cls
        self._gone = dict.fromkeys(found["gone"])

    def connected(self) -> list[Notice]:
        found = [Notice(self._presence_topic(), ONLINE), *(Notice(topic, b"") for topic in self._gone)]
        for node, sensors in self._known.items():
            found += (self._sensor(node, each, cls) for each, cls in sensors.items())
            found.append(self._presence(node))
        return found

    def seen(self, record: Record) -> list[Notice]:
        if record.kind == KIND_REPORT and record.cls != ALARM:
            return self._learn(record)
        if record.kind == KIND_HELLO:
            return self._greeted(record)
        return []

    def heard(self, node: bytes) -> list[Notice]:
        """The node is there."""
        self._here.add(node)
        return [self._presence(node)] if node in self._known else []

    def silent(self, node: bytes) -> list[Notice]:
        """Nothing is heard of the node any more."""
        self._here.discard(node)
        return [self._presence(node)] if node in self._known else []

    def removed(self, node: bytes) -> list[Notice]:
        """The node belongs to this gateway no more: an empty message takes a retained one back."""
        self._here.discard(node)
        sensors = self._known.pop(node, None)
        if sensors is None:
            return []
        topics = [*(self._config_topic(node, each) for each in sensors), self._presence_topic(node)]
        self._gone |= dict.fromkeys(topics)
        for topic in list(self._gone)[:-MAX_GONE]:
            del self._gone[topic]
        self._save()
        return [Notice(topic, b"") for topic in topics]

    def known(self) -> Iterable[bytes]:
        """Nodes that were told of."""
        return self._known.keys()

    def _learn(self, record: Record) -> list[Notice]:
        sensors = self._known.get(record.node, {})
        try:
            report = wire.Report.from_bytes(record.payload)
        except PeerError:
            return []
        new = {(reading.sensor, reading.quantity) for reading in report.readings} - sensors.keys()
        if not new:
            return []
        self._known[record.node] = sensors | dict.fromkeys(sorted(new), record.cls)
        for topic in (self._presence_topic(record.node), *(self._config_topic(record.node, n) for n in new)):
            self._gone.pop(topic, None)
        self._save()
        return [
            *(self._sensor(record.node, each, record.cls) for each in sorted(new)),
            self._presence(record.node),
        ]

    def _greeted(self, record: Record) -> list[Notice]:
        """Board and firmware stand in the sensors' messages."""
        try:
            hello = wire.Hello.from_bytes(record.payload)
        except PeerError:
            return []
        about = hello.board or "", hello.firmware or ""
        if self._about.get(record.node) == about:
            return []
        self._about[record.node] = about
        return [
            self._sensor(record.node, each, cls) for each, cls in self._known.get(record.node, {}).items()
        ]

    def _sensor(self, node: bytes, each: Sensor, cls: int) -> Notice:
        number, code = each
        quantity, _, _, unit = QUANTITIES.get(code, (f"unknown {code}", 1, 1, ""))
        board, firmware = self._about.get(node, ("", ""))
        device = {
            "identifiers": [f"fieldline_{node.hex()}"],
            "name": self._name_of(node),
            "manufacturer": "Fieldline",
            "model": board,
            "sw_version": firmware,
            "serial_number": node.hex(),
        }
        content = {
            "name": f"Sensor {number} {quantity}",
            "unique_id": f"fieldline_{node.hex()}_{number}_{_id(quantity)}",
            "state_topic": self._topic_of(node, CLASS_NAMES[cls]),
            # An empty result changes nothing: it is another sensor's, a gap, or from before.
            "value_template": (
                f"{{% if value_json.get('sensor') == {number} and value_json.get('quantity') == '{quantity}'"
                " and not value_json.historical %}{{ value_json.value }}{% endif %}"
            ),
            "state_class": "measurement",
            "unit_of_measurement": unit,
            "device_class": DEVICE_CLASSES.get(quantity, ""),
            "availability": [
                {"topic": self._presence_topic()},
                {"topic": self._presence_topic(node)},
            ],
            "availability_mode": "all",
            "device": {key: value for key, value in device.items() if value},
            "origin": {"name": "Fieldline"},
        }
        found = {key: value for key, value in content.items() if value}
        return Notice(self._config_topic(node, each), json.dumps(found, ensure_ascii=False).encode())

    def _config_topic(self, node: bytes, each: Sensor) -> str:
        quantity = QUANTITIES.get(each[1], (f"unknown {each[1]}", 1, 1, ""))[0]
        return f"{self._prefix}/sensor/fieldline_{node.hex()}/{each[0]}_{_id(quantity)}/config"

    def _presence(self, node: bytes) -> Notice:
        return Notice(self._presence_topic(node), ONLINE if node in self._here else OFFLINE)

    def _presence_topic(self, node: bytes = b"") -> str:
        return f"{self._prefix}-fieldline/{self._gateway}" + (f"/{node.hex()}" if node else "")

    def _save(self) -> None:
        self._unsaved = True
        if self._saving is None or self._saving.done():
            self._saving = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        """Without it a node that goes while the gateway is down would stay in Home Assistant."""
        while self._unsaved:
            self._unsaved = False
            rows = [
                (node.hex(), sensor, quantity, cls)
                for node, sensors in self._known.items()
                for (sensor, quantity), cls in sensors.items()
            ]
            kept = {"known": rows, "gone": list(self._gone)}
            try:
                await self._notes.save(NOTE, json.dumps(kept).encode())
            except GatewayError as error:
                logs.event(logs.WARNING, "sink-note-failed", note=NOTE, error=error)


def _id(quantity: str) -> str:
    return _NOT_IN_IDS.sub("_", quantity)
