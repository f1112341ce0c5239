"""The Sparkplug sink against mosquitto. The host is paho-mqtt; npm's sparkplug-payload reads what it gets."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as paho
import pytest

from fieldline_gateway.errors import StoreError
from fieldline_gateway.mqtt.address import Address
from fieldline_gateway.records import KIND_GAP, StoredRecord
from fieldline_gateway.sinks.mqtt_config import MqttConfig
from fieldline_gateway.sinks.sparkplug import BD_SEQ, CATALOGUE, SparkplugSink
from fieldline_gateway.sparkplug.config import Confirm, EdgeConfig
from fieldline_gateway.sparkplug.datatypes import DataType, Value
from fieldline_gateway.sparkplug.payload import Metric, Payload
from fieldline_harness.mosquitto import Mosquitto, free_port
from fieldline_wire import messages as wire
from tests.gateway.mqtt.support import NODE, TIMEOUT_S, FakeBroker, FakeReader, record, report, run, until

JUDGE = Path(__file__).parents[1] / "sparkplug" / "judge.cjs"
STATE = "spBv1.0/STATE/scada"
NEWS = "spBv1.0/G/"


class Notes:
    """What the sink keeps, in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def load(self, name: str) -> bytes | None:
        return self.kept.get(name)

    async def save(self, name: str, value: bytes) -> None:
        await asyncio.sleep(0)
        self.kept[name] = value


class Host:
    """A primary host: hears everything, says that it is there, writes commands."""

    def __init__(self, port: int) -> None:
        self.got: list[tuple[str, bytes]] = []
        self._subscribed = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="scada")
        self._client.on_connect = lambda client, *_: client.subscribe("spBv1.0/#", 1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _client, _data, packet: self.got.append(
            (packet.topic, packet.payload)
        )
        self._port = port

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert self._subscribed.wait(TIMEOUT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def state(self, online: bool, timestamp: int) -> None:
        content = json.dumps({"online": online, "timestamp": timestamp})
        self._client.publish(STATE, content, 1, True).wait_for_publish(TIMEOUT_S)

    def write(self, topic: str, name: str) -> None:
        metric = Metric(name=name, timestamp=1, datatype=DataType.BOOLEAN, value=True)
        payload = Payload(timestamp=1, metrics=(metric,)).to_bytes()
        self._client.publish(topic, payload, 0).wait_for_publish(TIMEOUT_S)

    def kinds(self) -> list[str]:
        """What came of the edge node, in order: NBIRTH, DBIRTH, ..."""
        return [topic.split("/")[2] for topic, _ in list(self.got) if topic.startswith(NEWS)]

    def payloads(self, kind: str) -> list[Payload]:
        return [
            Payload.from_bytes(payload) for topic, payload in list(self.got) if topic.startswith(NEWS + kind)
        ]

    def numbers(self) -> list[int]:
        """Numbers of the readings in DDATA, repeats included."""
        found = []
        for payload in self.payloads("DDATA"):
            for metric in payload.metrics:
                number = metric.property("number")
                if number is not None:
                    found.append(int(str(number.value)))
        return found

    def bd_seqs(self, kind: str) -> list[Value | None]:
        return [
            metric.value
            for payload in self.payloads(kind)
            for metric in payload.metrics
            if metric.name == "bdSeq"
        ]


def make(
    *ports: int, notes: Notes | None = None, commands: list[Any] | None = None, level: int = 4, **edge: Any
) -> SparkplugSink:
    first, *others = (Address("127.0.0.1", port) for port in ports)
    config = MqttConfig(
        first, "edge", fallbacks=tuple(others), level=level, backoff_first_s=0.001, backoff_most_s=0.05
    )
    settings: dict[str, Any] = {"settle_ms": 50, "mark_ms": 5, "servers": len(ports), **edge}
    return SparkplugSink(
        config,
        EdgeConfig("G", "gw", **settings),
        "sparkplug",
        notes=notes or Notes(),
        name_of=lambda node: "fan",
        on_command=lambda *command: commands.append(command) if commands is not None else None,
    )


@asynccontextmanager
async def running(sink: SparkplugSink, reader: FakeReader) -> AsyncIterator[asyncio.Task[None]]:
    await sink.told()
    task = asyncio.create_task(sink.run(reader))
    try:
        yield task
    finally:
        task.cancel()
        [outcome] = await asyncio.gather(task, return_exceptions=True)
        assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome


def edge_state(sink: SparkplugSink) -> Any:
    status: Any = sink.status()["sparkplug"]
    return status["state"]


@pytest.mark.parametrize("level", [4, 5])
@pytest.mark.parametrize("confirm", list(Confirm))
def test_births_data_cursor_and_death(tmp_path: Path, level: int, confirm: Confirm) -> None:
    with Mosquitto(tmp_path) as broker, Host(broker.port) as host:

        async def main() -> None:
            reader = FakeReader([report(1, 3)])
            sink = make(broker.port, level=level, confirm=confirm)
            async with running(sink, reader):
                sink.heard(NODE)
                await until(lambda: reader.done)
                reader.append(report(4))
                await until(lambda: reader.done)
                told: Any = sink.status()
                assert told["protocol"] == ("5.0" if level == 5 else "3.1.1")
                assert told["sparkplug"]["state"] == "online" and told["connected"]
            await until(lambda: "NDEATH" in host.kinds())

        run(main())
        kinds = host.kinds()
        assert kinds[0] == "NBIRTH" and kinds.index("DBIRTH") < kinds.index("DDATA")
        # By word; with MQTT 5.0 the will follows, which a host knows by its bdSeq.
        assert kinds.count("NDEATH") == 1 or level == 5
        assert host.numbers() == [1, 2, 3, 4]
        assert set(host.bd_seqs("NBIRTH")) == set(host.bd_seqs("NDEATH")) == {0}
        last_birth = len(kinds) - kinds[::-1].index("NBIRTH") - 1
        decoded = judged([payload for topic, payload in host.got if topic.startswith(NEWS)])
        in_session = [int(one["seq"]) for one in decoded[last_birth:] if "seq" in one]
        assert in_session == list(range(len(in_session))) and len(in_session) > 3
        readings = [
            metric
            for one in decoded
            for metric in one.get("metrics", [])
            if "number" in metric.get("properties", {}).get("keys", [])
        ]
        assert [metric["doubleValue"] for metric in readings] == [1.0, 1.0, 1.0, 4.0]


def judged(payloads: list[bytes]) -> list[Any]:
    """What npm's sparkplug-payload reads in them."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node")
    lines = "\n".join(json.dumps({"decode": payload.hex()}) for payload in payloads)
    done = subprocess.run([node, JUDGE], input=lines, capture_output=True, text=True, timeout=60)
    if "Cannot find module 'sparkplug-payload" in done.stderr:
        pytest.skip("needs the npm package sparkplug-payload: run npm ci")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_primary_host_is_waited_for_and_its_going_ends_the_session(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker, Host(broker.port) as host:

        async def main() -> None:
            reader = FakeReader([report(1)])
            sink = make(broker.port, primary_host="scada")
            async with running(sink, reader):
                await until(lambda: edge_state(sink) == "waiting")
                assert host.kinds() == [] and reader.commits == []
                host.state(True, 1000)
                await until(lambda: reader.done)
                host.state(False, 1000)
                await until(lambda: "NDEATH" in host.kinds())
                reader.append(report(2))
                await until(lambda: edge_state(sink) == "waiting")
                assert host.numbers() == [1]
                host.state(True, 2000)
                await until(lambda: reader.done)
                assert host.numbers() == [1, 2]
            assert host.bd_seqs("NBIRTH") == [0, 1]

        run(main())


def test_commands_of_a_host_come_out_and_a_rebirth_is_given(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker, Host(broker.port) as host:

        async def main() -> None:
            commands: list[Any] = []
            sink = make(broker.port, commands=commands)
            async with running(sink, FakeReader([report(1)])):
                await until(lambda: host.numbers() == [1])
                host.write("spBv1.0/G/DCMD/gw/fan", "Device Control/Reboot")
                await until(lambda: commands == [(NODE, "Device Control/Reboot", True)])
                host.write("spBv1.0/G/NCMD/gw", "Node Control/Rebirth")
                await until(lambda: host.kinds().count("NBIRTH") == 2)

        run(main())


def test_a_killed_broker_costs_a_session_and_nothing_else(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker:

        async def main() -> None:
            reader = FakeReader([report(1)])
            notes = Notes()
            sink = make(broker.port, notes=notes)
            async with running(sink, reader):
                await until(lambda: reader.done)
                assert notes.kept[BD_SEQ] == b"0"
                broker.kill()
                await until(lambda: "nothing listens" in str(sink.status()["last_error"]))
                reader.append(report(2))
                assert notes.kept[BD_SEQ] == b"1"  # for the attempts that reached nobody, one number
                broker.start()
                with Host(broker.port) as host:
                    await until(lambda: reader.done)
                    assert set(host.bd_seqs("NBIRTH")) <= {1}
                assert notes.kept[BD_SEQ] == b"1"

        run(main())


def test_a_new_start_knows_bd_seq_and_all_metrics(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker, Host(broker.port) as host:
        notes = Notes()

        async def start(*numbers: int) -> list[bytes]:
            reader = FakeReader([report(number) for number in numbers])
            sink = make(broker.port, notes=notes)
            async with running(sink, reader):
                known = list(await sink.told())
                await until(lambda: reader.done and CATALOGUE in notes.kept)
                return known

        assert run(start(1)) == []
        assert run(start(2)) == [NODE]
        run(until(lambda: host.kinds().count("NDEATH") == 2))
        assert host.bd_seqs("NBIRTH") == [0, 1]
        births = [metric.name for metric in host.payloads("DBIRTH")[-1].metrics]
        assert "Sensor 0/speed" in births  # declared before its first value: no rebirth
        assert host.kinds().count("NBIRTH") == 2


def test_the_next_server_is_taken_where_the_host_is(tmp_path: Path) -> None:
    with (
        Mosquitto(tmp_path / "1") as first,
        Mosquitto(tmp_path / "2") as second,
        Host(first.port) as away,
        Host(second.port) as here,
    ):
        away.state(False, 1000)
        here.state(True, 1000)

        async def main() -> None:
            reader = FakeReader([report(1)])
            sink = make(free_port(), first.port, second.port, primary_host="scada")
            async with running(sink, reader):
                await until(lambda: reader.done)
                assert str(second.port) in str(sink.status()["broker"])
            assert here.numbers() == [1] and away.numbers() == []

        run(main())


def test_gaps_of_one_run_are_all_told(tmp_path: Path) -> None:
    """Several records that stand for one run of lost ones have no place of their own but the last."""
    with Mosquitto(tmp_path) as broker, Host(broker.port) as host:

        async def main() -> None:
            reader = FakeReader()
            gaps = [
                record(wire.Gap(1, 7, first, first + 1, 4), kind=KIND_GAP, first=first, last=first + 1)
                for first in (1, 11, 21)
            ]
            reader.logs[1] = [StoredRecord(0, gaps[0]), StoredRecord(0, gaps[1]), StoredRecord(3, gaps[2])]
            async with running(make(broker.port), reader):
                await until(lambda: reader.done)

        run(main())
        firsts = [
            metric.property("first").value  # type: ignore[union-attr]
            for payload in host.payloads("DDATA")
            for metric in payload.metrics
            if metric.property("first") is not None
        ]
        assert firsts == [1, 11, 21]


def test_no_connect_goes_out_before_its_bd_seq_is_on_disk() -> None:
    class Full(Notes):
        async def save(self, name: str, value: bytes) -> None:
            raise StoreError("no room on the disk")

    async def main() -> None:
        async with FakeBroker() as broker:
            sink = make(broker.port, notes=Full())
            async with running(sink, FakeReader()):
                await until(lambda: "no room" in str(sink.status()["last_error"]))
                assert broker.connections == 0

    run(main())
