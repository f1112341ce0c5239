"""Forwarding to a cluster of three brokers while the node in use is killed: nothing lost, and how long nothing came.

Rules: the gateway's own store and sink, one reading at a time as a site of nodes gives them; a subscriber with a
persistent session at QoS 1 that goes to another node when its own is gone. SIGKILL for the node that the sink is
connected to, again and again, each started again; the next when readings are acknowledged again and the node is one
of three again, so that each gap has one kill. What counts is what the subscriber has at the end.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from fieldline_gateway.mqtt.address import Address
from fieldline_gateway.sinks.mqtt import MqttSink
from fieldline_gateway.sinks.mqtt_config import MqttConfig
from fieldline_gateway.sinks.payload import JsonPayload
from fieldline_gateway.store.store import Store
from fieldline_harness.bench_forward import GATEWAY, report_record
from fieldline_harness.bench_store import open_store
from fieldline_harness.clusters import Cluster, ClusterMissing, NatsCluster, RabbitCluster
from fieldline_harness.figures import Figure

PER_S = 200
DOWN_S = 3.0
"""A killed node is started again after this."""
SETTLE_S = 90.0
"""What was published when the last node was killed may be on its way for so long."""
READY_S = 60.0


class Collector:
    """A subscriber that keeps which numbers came, and the longest time in which none did."""

    def __init__(self, cluster: Cluster) -> None:
        self._ports = list(reversed(cluster.ports))  # the sink begins at the other end
        self._credentials = cluster.credentials
        self._at = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._last = 0.0
        self.numbers: set[int] = set()
        self.repeats = 0
        self.longest_s = 0.0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        if not self._ready.wait(READY_S):
            raise RuntimeError(f"no node of {cluster.name} takes a subscription")

    def wait(self, count: int, limit_s: float) -> None:
        """Until `count` numbers are there, or the limit has passed."""
        deadline = time.monotonic() + limit_s
        while len(self.numbers) < count and time.monotonic() < deadline:
            time.sleep(0.1)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            client = paho.Client(
                CallbackAPIVersion.VERSION2, "bench-collector", clean_session=False, protocol=paho.MQTTv311
            )
            if self._credentials:
                client.username_pw_set(*self._credentials)
            lost = threading.Event()
            client.on_connect = lambda c, *_: c.subscribe("fieldline/#", 1)
            client.on_subscribe = lambda *_: self._ready.set()
            client.on_message = self._take
            client.on_disconnect = lambda *_, lost=lost: lost.set()
            try:
                client.connect("127.0.0.1", self._ports[self._at], keepalive=5)
                client.loop_start()
                while not lost.wait(0.1) and not self._stop.is_set():
                    pass
                client.disconnect()
                client.loop_stop()
            except OSError:
                time.sleep(0.2)
            self._at = (self._at + 1) % len(self._ports)

    def _take(self, _client: object, _user: object, message: paho.MQTTMessage) -> None:
        number = json.loads(message.payload)["number"]
        now = time.monotonic()
        with self._lock:
            if number in self.numbers:
                self.repeats += 1
                return
            if self._last:
                self.longest_s = max(self.longest_s, now - self._last)
            self._last = now
            self.numbers.add(number)


async def _feed(store: Store, stop: asyncio.Event) -> int:
    """PER_S readings a second into the store, each durable before the next tenth of a second; how many."""
    number = 0
    while not stop.is_set():
        for _ in range(PER_S // 10):
            number += 1
            position = store.append(report_record(number))
        await store.wait_durable(position)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.1)
    return number


async def _acknowledged(store: Store) -> None:
    """Until the cluster acknowledged all that is in the store; RuntimeError where it does not."""
    for _ in range(int(SETTLE_S)):
        lag = store.status()["sinks"]["bench"]["lag"]  # type: ignore[index]
        if not lag:
            return
        await asyncio.sleep(1)
    raise RuntimeError(
        f"the cluster did not take {lag} readings within {SETTLE_S:g} s; they are in the store"
    )


async def _flowing(sink: MqttSink) -> None:
    """Until the cluster acknowledges what is new. RuntimeError where it does not."""
    before = sink.status()["delivered"]
    for _ in range(int(SETTLE_S * 10)):
        status = sink.status()
        if status["connected"] and status["delivered"] != before:
            return
        await asyncio.sleep(0.1)
    raise RuntimeError(f"the cluster acknowledges nothing for {SETTLE_S:g} s: {status['last_error']}")


async def _kill(cluster: Cluster, sink: MqttSink, every_s: float, kills: int) -> None:
    """Kills the node in use, `kills` times."""
    for _ in range(kills):
        await asyncio.sleep(every_s)
        await _flowing(sink)
        node = cluster.ports.index(int(str(sink.status()["broker"]).rpartition(":")[2]))
        print(f"bench cluster: {cluster.name}, kill -9 of node {node}", file=sys.stderr)
        await asyncio.to_thread(cluster.kill, node)
        await asyncio.sleep(DOWN_S)
        await asyncio.to_thread(cluster.start, node)
        await asyncio.to_thread(cluster.until_up, node)  # with two of three away there is no cluster
    await asyncio.sleep(every_s)


async def run_cluster(cluster: Cluster, folder: Path, kills: int, every_s: float) -> list[Figure]:
    """Figures of one cluster that is up."""
    collector = await asyncio.to_thread(Collector, cluster)
    home, *others = [Address("127.0.0.1", port) for port in cluster.ports]
    user, password = cluster.credentials or (None, None)
    config = MqttConfig(
        home,
        "fieldline-bench",
        fallbacks=tuple(others),
        username=user,
        password=password.encode() if password else None,
        window=200,
        progress_timeout_s=5.0,
        backoff_most_s=2.0,
    )
    sink = MqttSink(config, JsonPayload(GATEWAY), "bench")
    store = await open_store(folder, 0, interval_ms=2)
    forwarding = asyncio.create_task(sink.run(store.reader("bench")))
    feeding = asyncio.create_task(_feed(store, stop := asyncio.Event()))
    await _kill(cluster, sink, every_s, kills)
    stop.set()
    count = await feeding
    await _acknowledged(store)
    await asyncio.to_thread(collector.wait, count, SETTLE_S)
    forwarding.cancel()
    await asyncio.gather(forwarding, return_exceptions=True)
    await store.close()
    await asyncio.to_thread(collector.close)
    lost = count - len(collector.numbers)
    what = f"{cluster.name}, 3 nodes on one machine: {count} readings, {kills} kills of the node in use"
    return [
        Figure("cluster.lost", lost, "readings", f"{what}, {collector.repeats} repeats"),
        Figure("cluster.longest_gap_s", collector.longest_s, "s", f"{what}; at the subscriber"),
    ]


def run(quick: bool = False) -> list[Figure]:
    """The figures of each cluster whose package is installed; `quick` kills once."""
    kills, every_s = (1, 2.0) if quick else (10, 6.0)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as name:
        kinds: tuple[type[NatsCluster] | type[RabbitCluster], ...] = (NatsCluster, RabbitCluster)
        for kind in kinds:
            try:
                cluster = kind(Path(name) / kind.name)
            except ClusterMissing as error:
                print(f"bench cluster: {error}", file=sys.stderr)
                continue
            print(f"bench cluster: {kind.name} starts ...", file=sys.stderr)
            with cluster:
                figures += asyncio.run(
                    run_cluster(cluster, Path(name) / f"{kind.name}-store", kills, every_s)
                )
    return figures
