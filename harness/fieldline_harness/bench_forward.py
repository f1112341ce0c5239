"""How fast records go through the gateway to a broker, against a bare paho-mqtt publisher to the same broker.

Rules: both publish the same topics and payloads at QoS 1 and are done with the last PUBACK; they take turns
on one mosquitto, and a ratio is the median of the ratios of neighbouring turns. paho keeps nothing on disk;
the gateway's turn is the whole way: open the seal, judge the numbers, append, fdatasync, acknowledge, read, publish,
PUBACK, cursor. "Without the store"
is sink and client on records in memory. CPU is that of this process, its threads included.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from fieldline_gateway.mqtt.address import Address
from fieldline_gateway.mqtt.codec import fields
from fieldline_gateway.mqtt.window import Message
from fieldline_gateway.pace import Pace
from fieldline_gateway.records import KIND_REPORT, LIVE, TIME_NODE, Position, Record, StoredRecord
from fieldline_gateway.sinks.mqtt import MqttSink
from fieldline_gateway.sinks.mqtt_config import MqttConfig
from fieldline_gateway.sinks.payload import JsonPayload, Payload
from fieldline_gateway.sinks.port import Reader
from fieldline_gateway.store.store import Store
from fieldline_harness.bench_store import open_store
from fieldline_harness.figures import Figure
from fieldline_harness.fleet import READINGS
from fieldline_harness.mosquitto import Mosquitto
from fieldline_harness.plots import plot_lines
from fieldline_harness.sealed_site import NODES, NumberPayload, SealedSite
from fieldline_harness.turns import (
    AHEAD,
    BATCH,
    PAYLOAD_BYTES,
    TURN_LIMIT_S,
    UNSAFE,
    Clock,
    CountingReader,
    Turn,
)
from fieldline_wire import messages as wire

PAHO_WINDOW = 20
"""paho's own default for messages in flight."""
NODE = b"benchfan"
GATEWAY = "bench"


class PlainPayload:
    """The record's payload as it is, so that its size can be chosen."""

    def __init__(self) -> None:
        self._topic = fields.text(f"fieldline/{GATEWAY}/{NODE.hex()}/live")

    def forget(self) -> None:
        """It keeps nothing."""

    def messages(self, record: Record, late: bool = False) -> list[Message]:
        return [(self._topic, record.payload, b"")]


def plain_record(number: int) -> Record:
    payload = b"%010d" % number + bytes(PAYLOAD_BYTES - 10)
    return Record(LIVE, KIND_REPORT, NODE, 1, number, number, 1, number, 0, TIME_NODE, 0, payload)


def report_record(number: int) -> Record:
    """A Report of one reading: the dearest case, as nothing is shared between messages."""
    reading = wire.Reading(number % 100, 0, wire.QTY_SPEED, 0, 12_000 + number % 997)
    report = wire.Report(LIVE, 1, number, number // 100, 1, [reading], utc=True)
    time_ms = number // 100 * 1000
    return Record(
        LIVE, KIND_REPORT, NODE, 1, number, number, 1, number, time_ms, TIME_NODE, time_ms, report.to_bytes()
    )


class MemoryReader:
    """The sink's port on a list: what a sink does without a store."""

    def __init__(self, records: list[Record]) -> None:
        self._records = [StoredRecord(seq, record) for seq, record in enumerate(records, 1)]
        self._next = 0
        self.done = asyncio.Event()

    async def next_batch(self, limit: int) -> Sequence[StoredRecord]:
        batch = self._records[self._next : self._next + limit]
        if not batch:
            await asyncio.Event().wait()
        self._next += len(batch)
        return batch

    def commit(self, position: Position) -> None:
        if position.seq == len(self._records):
            self.done.set()

    def rewind(self) -> None:
        self._next = 0


def paho_turn(port: int, payload: Payload, records: list[Record]) -> Turn:
    """The messages of these records by paho-mqtt at its best: nothing but publish in a loop."""
    ready = [
        (topic[2:].decode(), content) for record in records for topic, content, _ in payload.messages(record)
    ]
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
    client.max_inflight_messages_set(PAHO_WINDOW)
    connected, done = threading.Event(), threading.Event()
    acknowledged = 0

    def on_publish(*_: object) -> None:
        nonlocal acknowledged
        acknowledged += 1
        if acknowledged == len(ready):
            done.set()

    client.on_connect = lambda *_: connected.set()
    client.on_publish = on_publish
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        connected.wait(TURN_LIMIT_S)
        clock = Clock()
        for topic, content in ready:
            client.publish(topic, content, 1)
        if not done.wait(TURN_LIMIT_S):
            raise RuntimeError(f"paho-mqtt had {acknowledged} of {len(ready)} PUBACKs in {TURN_LIMIT_S:g} s")
        return clock.turn(len(ready))
    finally:
        client.disconnect()
        client.loop_stop()


def started(port: int, payload: Payload, reader: Reader) -> asyncio.Task[None]:
    """A sink that runs."""
    sink = MqttSink(MqttConfig(Address("127.0.0.1", port), "fieldline-bench"), payload, "bench")
    return asyncio.create_task(sink.run(reader))


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def memory_turn(port: int, payload: Payload, records: list[Record]) -> Turn:
    """Sink and client alone."""
    reader = MemoryReader(records)
    clock = Clock()  # the handshake is in it: some milliseconds
    task = started(port, payload, reader)
    async with asyncio.timeout(TURN_LIMIT_S):
        await reader.done.wait()
    turn = clock.turn(len(records))
    await ended(task)
    return turn


async def durable_turn(store: Store, reader: CountingReader, records: list[Record]) -> Turn:
    """All of it: the source appends and waits for the disk as a node would, the sink follows."""
    clock = Clock()
    unsafe: list[Position] = []
    async with asyncio.timeout(TURN_LIMIT_S):
        for start in range(0, len(records), BATCH):
            for record in records[start : start + BATCH]:
                position = store.append(record)
            unsafe.append(position)
            if len(unsafe) * BATCH >= UNSAFE:
                await store.wait_durable(unsafe.pop(0))
            await reader.reached(position.seq - AHEAD)
        await reader.reached(position.seq)
    return clock.turn(len(records))


class Bench:
    """Turns of paho and of the gateway, one after the other, with one kind of payload."""

    def __init__(self, port: int, payload: Payload, make: Callable[[int], Record], paho_count: int) -> None:
        self._port = port
        self._payload = payload
        self._make = make
        self._paho_count = paho_count
        self._made = 0
        self.paho: list[Turn] = []

    def records(self, count: int) -> list[Record]:
        """The next records, made before the clock starts."""
        first = self._made + 1
        self._made += count
        return [self._make(number) for number in range(first, first + count)]

    async def against_paho(self, turns: int, own: Callable[[], Awaitable[Turn]]) -> tuple[float, list[Turn]]:
        """(median ratio of own to paho, own turns); a first turn of each warms up and does not count."""
        ratios, out = [], []
        for turn in range(turns + 1):
            paho_records = self.records(self._paho_count)
            rival = await asyncio.to_thread(paho_turn, self._port, self._payload, paho_records)
            mine = await own()
            if turn:
                self.paho.append(rival)
                out.append(mine)
                ratios.append(mine.per_s / rival.per_s)
        return statistics.median(ratios), out

    async def durable(self, folder: Path, turns: int, count: int) -> tuple[float, list[Turn]]:
        """The whole way through a store in `folder`."""
        store = await open_store(folder, 0, interval_ms=2)
        reader = CountingReader(store.reader("bench", Pace()))
        task = started(self._port, self._payload, reader)
        result = await self.against_paho(turns, lambda: durable_turn(store, reader, self.records(count)))
        await ended(task)
        await store.close()
        return result

    async def sealed(self, folder: Path, turns: int, count: int) -> tuple[float, list[Turn]]:
        """The whole way, from sealed reports on: authentication and de-duplication in it."""
        store = await open_store(folder, 0, interval_ms=2)
        reader = CountingReader(store.reader("bench", Pace()))
        task = started(self._port, NumberPayload(), reader)
        site = SealedSite(store)
        await store.wait_durable(Position(LIVE, NODES))
        result = await self.against_paho(turns, lambda: site.turn(count, reader.reached))
        await ended(task)
        await store.close()
        return result

    async def alone(self, turns: int, count: int) -> tuple[float, list[Turn]]:
        """Sink and client without a store."""
        return await self.against_paho(
            turns, lambda: memory_turn(self._port, self._payload, self.records(count))
        )


async def measure(folder: Path, quick: bool, out: Path | None) -> list[Figure]:
    """All figures; `quick` shows that it works."""
    turns, count, paho_count = (1, 5_000, 1_000) if quick else (5, 60_000, 10_000)
    with Mosquitto(folder / "mosquitto") as broker:
        plain = Bench(broker.port, PlainPayload(), plain_record, paho_count)
        ratio, way = await plain.sealed(folder / "sealed", turns, count)
        open_ratio, opened = await plain.durable(folder / "plain", turns, count)
        alone_ratio, alone = await plain.alone(turns, count)
        reports = Bench(broker.port, JsonPayload(GATEWAY), report_record, paho_count)
        json_ratio, json_way = await reports.durable(folder / "json", turns, count)
    if out is not None:
        named = {"paho-mqtt, nothing stored": plain.paho[:turns], "seals opened, durable": way}
        named |= {"opened records, durable": opened, "without a store": alone}
        series = {
            name: [(at + 1, turn.per_s) for at, turn in enumerate(each)] for name, each in named.items()
        }
        title = f"Messages of {PAYLOAD_BYTES} bytes to one mosquitto, QoS 1"
        plot_lines(out / "forward.png", title, "turn", "messages/s", series)
    per_s = statistics.median(turn.per_s for turn in way)
    rival = f"bare paho-mqtt, QoS 1, window {PAHO_WINDOW}, same payloads and mosquitto"
    paho_cpu = statistics.median(turn.cpu_us for turn in plain.paho)
    cpu_rival = f"paho-mqtt {paho_cpu:.1f} us, which stores nothing"
    whole = (
        f"seals opened, repeats dropped, durable, acknowledged ({READINGS} readings a report, each a message)"
    )
    bytes_ = f"{PAYLOAD_BYTES}-byte payloads"
    return [
        Figure("forward.ratio_to_paho", ratio, "x", f"{rival}; {whole}, {bytes_}"),
        Figure("forward.messages_per_s", per_s, "messages/s", f"{whole}, {bytes_}, PUBACK of mosquitto"),
        Figure("forward.cpu_us", _cpu(way), "us/message", f"{cpu_rival}; {whole}, {bytes_}"),
        Figure(
            "forward.opened_ratio_to_paho",
            open_ratio,
            "x",
            f"{rival}; durable way of opened records, {bytes_}",
        ),
        Figure(
            "forward.opened_cpu_us", _cpu(opened), "us/message", f"{cpu_rival}; durable way of opened records"
        ),
        Figure("forward.client_ratio_to_paho", alone_ratio, "x", f"{rival}; sink and client without a store"),
        Figure("forward.client_cpu_us", _cpu(alone), "us/message", f"{cpu_rival}; without a store"),
        Figure("forward.json_ratio_to_paho", json_ratio, "x", f"{rival}; durable way, reports to JSON"),
        Figure(
            "forward.json_cpu_us", _cpu(json_way), "us/message", "durable way, a report a reading to JSON"
        ),
    ]


def _cpu(turns: list[Turn]) -> float:
    return statistics.median(turn.cpu_us for turn in turns)


def run(quick: bool = False, out: Path | None = None) -> list[Figure]:
    """The figures of forwarding; `quick` shows that it works. `out`: a folder for forward.png."""
    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as name:
        return asyncio.run(measure(Path(name), quick, out))
