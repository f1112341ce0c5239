"""The gateway's durable way beside what people bridge with today: mosquitto's own bridge, thingsboard-gateway.

Rules: each takes its turn between the same two mosquittos on this machine, with payloads of the same size, QoS 1 in
and out, until the last message is at a subscriber of the second one (mosquitto_sub; for ThingsBoard, which packs
several into one, a counter). Ratios are medians over neighbouring turns. The bridge keeps nothing on disk and loses
what it holds when it is killed; ours and ThingsBoard's storage keep it.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from fieldline_gateway.records import LIVE, Position, Record
from fieldline_harness.bench_forward import (
    PlainPayload,
    ended,
    memory_turn,
    plain_record,
    started,
)
from fieldline_harness.bench_store import open_store
from fieldline_harness.figures import Figure
from fieldline_harness.mosquitto import Mosquitto, find_program, free_port
from fieldline_harness.sealed_site import NODES, NumberPayload, SealedSite
from fieldline_harness.thingsboard import READY_S, TOPIC_IN, TOPIC_OUT, RivalMissing, ThingsBoard, install
from fieldline_harness.turns import PAYLOAD_BYTES, CountingReader

TURN_LIMIT_S = 180.0
SLOW_COUNT = 5_000  # for thingsboard-gateway
FIRST_MS = 1_700_000_000_000
REQUESTS = "v1/devices/me/rpc/request/"
OPEN = "allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 1000\n"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fieldline" / "bench"


class Subscriber:
    """mosquitto_sub that ends with the `count`-th message."""

    def __init__(self, port: int, topic: str, count: int) -> None:
        command = [find_program("mosquitto_sub"), "-p", str(port), "-t", topic, "-q", "1", "-C", str(count)]
        self._process = subprocess.Popen([*command, "-F", "%l"], stdout=subprocess.DEVNULL)

    async def done(self) -> None:
        """Wait for the last one; RuntimeError where it does not come."""
        try:
            code = await asyncio.to_thread(self._process.wait, TURN_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise RuntimeError(f"not all messages arrived within {TURN_LIMIT_S:g} s") from None
        if code:
            raise RuntimeError(f"mosquitto_sub ended with {code}")


def _subscribed(broker: Mosquitto, count: int) -> Subscriber:
    """A subscriber that the broker knows of."""
    before = broker.log.count("New client connected")
    subscriber = Subscriber(broker.port, "fieldline/#", count)
    while broker.log.count("New client connected") == before:
        time.sleep(0.01)
    time.sleep(0.2)  # its SUBSCRIBE follows at once
    return subscriber


async def own_turn(folder: Path, target: Mosquitto, count: int) -> float:
    """Messages/s from sealed reports through our store to the broker's subscriber."""
    store = await open_store(folder, 0, interval_ms=2)
    reader = CountingReader(store.reader("bench"))
    site = SealedSite(store)
    await store.wait_durable(Position(LIVE, NODES))
    subscriber = await asyncio.to_thread(_subscribed, target, count)
    task = started(target.port, NumberPayload(), reader)
    begin = time.perf_counter()
    await site.turn(count, reader.reached)
    await subscriber.done()
    rate = count / (time.perf_counter() - begin)
    await ended(task)
    await store.close()
    return rate


async def bridge_turn(folder: Path, target: Mosquitto, records: list[Record]) -> float:
    """Messages/s through mosquitto's bridge, which is fed faster than it forwards."""
    bridge = (
        f"{OPEN}connection bench\naddress 127.0.0.1:{target.port}\ntopic # out 1\ncleansession false\n"
        "bridge_protocol_version mqttv311\nnotifications false\nbridge_max_packet_size 0\n"
    )
    with Mosquitto(folder, bridge) as source:
        subscriber = await asyncio.to_thread(_subscribed, target, len(records))
        begin = time.perf_counter()
        feeding = asyncio.create_task(memory_turn(source.port, PlainPayload(), records))
        await subscriber.done()
        rate = len(records) / (time.perf_counter() - begin)
        await feeding
    return rate


class Platform:
    """As much of a ThingsBoard server as its gateway needs: no limits; and the telemetry that arrived is counted."""

    def __init__(self, port: int) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        self._lock = threading.Lock()
        self.times: set[int] = set()
        ready = threading.Event()
        self._client.on_message = self._hear
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.connect("127.0.0.1", port)
        self._client.subscribe([(TOPIC_OUT, 1), (f"{REQUESTS}+", 1)])
        self._client.loop_start()
        ready.wait(READY_S)

    def _hear(self, _client: object, _user: object, message: paho.MQTTMessage) -> None:
        content = json.loads(message.payload)
        if message.topic.startswith(
            REQUESTS
        ):  # it sends nothing before it was told the limits of its session
            limits = {"rateLimits": {"messages": "0:0,"}, "maxInflightMessages": 1000}
            number = message.topic.removeprefix(REQUESTS)
            self._client.publish(f"v1/devices/me/rpc/response/{number}", json.dumps(limits), 1)
            return
        with self._lock:
            for points in content.values():
                self.times.update(point["ts"] for point in points)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def thingsboard_turn(python: Path, folder: Path, target: Mosquitto, count: int) -> tuple[float, float]:
    """(messages/s, CPU us a message) through thingsboard-gateway with sqlite, source messages at QoS 1."""
    folder.mkdir()
    platform = Platform(target.port)
    source_port = free_port()
    with (
        Mosquitto(folder / "source", OPEN, source_port),
        ThingsBoard(python, folder / "tb", source_port, target.port) as rival,
    ):
        feed = paho.Client(CallbackAPIVersion.VERSION2)
        feed.max_inflight_messages_set(100)
        feed.connect("127.0.0.1", source_port)
        feed.loop_start()
        _until_it_forwards(rival, feed, platform)
        begin, cpu = time.perf_counter(), rival.cpu_s()
        known = len(platform.times)
        for number in range(count):
            feed.publish(TOPIC_IN, _message(number), 1)
        deadline = time.monotonic() + TURN_LIMIT_S
        while len(platform.times) < known + count:
            rival.check(deadline)
            time.sleep(0.02)
        took, cpu = time.perf_counter() - begin, rival.cpu_s() - cpu
        feed.disconnect()
        feed.loop_stop()
    platform.close()
    return count / took, cpu / count * 1e6


def _until_it_forwards(rival: ThingsBoard, feed: paho.Client, platform: Platform) -> None:
    """It takes some seconds to be ready, and says so nowhere but by forwarding."""
    deadline = time.monotonic() + READY_S
    number = 0
    while not platform.times:
        rival.check(deadline)
        number += 1
        feed.publish(TOPIC_IN, _message(-number), 1)
        time.sleep(0.5)
    time.sleep(1.0)  # what else of these is on its way


def _message(number: int) -> bytes:
    """Each has a time of its own: ThingsBoard keeps one value for each time."""
    head = f'{{"ts":{FIRST_MS + number},"text":"'
    return f'{head}{"x" * (PAYLOAD_BYTES - len(head) - 2)}"}}'.encode()


async def measure(folder: Path, quick: bool) -> list[Figure]:
    """Both ratios; the ThingsBoard one only where it can be installed."""
    turns, count = (1, 5_000) if quick else (5, 40_000)
    own: list[float] = []
    bridged: list[float] = []
    first = 1
    with Mosquitto(folder / "target", OPEN) as target:
        for turn in range(turns + 1):
            records = [plain_record(number) for number in range(first, first + count)]
            first += count
            mine = await own_turn(folder / f"own-{turn}", target, count)
            theirs = await bridge_turn(folder / f"bridge-{turn}", target, records)
            if turn:  # a first turn of each warms up
                own.append(mine)
                bridged.append(theirs)
        figures = [
            Figure(
                "forward.ratio_to_bridge",
                statistics.median(a / b for a, b in zip(own, bridged, strict=True)),
                "x",
                f"mosquitto's bridge without durability, {statistics.median(bridged):,.0f} messages/s; ours durable, "
                f"seals opened and numbers judged, {PAYLOAD_BYTES}-byte payloads, up to a subscriber behind the "
                "second broker",
            )
        ]
        if quick:
            return figures  # thingsboard-gateway is some hundred MB and half a minute
        try:
            python = await asyncio.to_thread(install, CACHE)
        except RivalMissing as error:
            print(f"bench: {error}; forward.ratio_to_thingsboard is left out", file=sys.stderr)
            return figures
        rate, cpu = await asyncio.to_thread(
            thingsboard_turn, python, folder / "thingsboard", target, SLOW_COUNT
        )
        mine = await own_turn(folder / "own-last", target, count)
    what = f"thingsboard-gateway with sqlite, {rate:,.0f} messages/s and {cpu:,.0f} us CPU a message"
    figures.append(Figure("forward.ratio_to_thingsboard", mine / rate, "x", what))
    return figures


def run(quick: bool = False) -> list[Figure]:
    """The figures against the rivals; `quick` shows that it works."""
    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as name:
        return asyncio.run(measure(Path(name), quick))
