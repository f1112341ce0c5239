"""The store's records to an MQTT broker, QoS 1.

Rules: the cursor moves only over messages that the broker acknowledged, in their order; what is in flight is
repeated after a lost connection, and nothing else (window.py). One task reads the store into the window, one
keeps the connection; neither waits for the other but through the window. Every failure is one log line with
what to do, and a pause that doubles.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from fieldline_gateway import logs
from fieldline_gateway.mqtt.client import Connection, open_connection
from fieldline_gateway.mqtt.codec.v311 import Connect
from fieldline_gateway.mqtt.errors import ConnectionLost, MqttError
from fieldline_gateway.mqtt.window import Window
from fieldline_gateway.records import CLASS_NAMES, StoredRecord
from fieldline_gateway.sinks.mqtt_config import MqttConfig
from fieldline_gateway.sinks.payload import Payload
from fieldline_gateway.sinks.port import Reader

MANY = 200
"""Messages in flight from which on PUBACKs are read by the millisecond: below it each may be waited for."""


class Backoff:
    """Pauses between attempts: doubling from `first` to `most` s, half of each drawn by `random` (0 to 1)."""

    def __init__(self, first: float, most: float, random: Callable[[], float]) -> None:
        self._first = first
        self._most = most
        self._random = random
        self._next = first

    def pause(self) -> float:
        """The next pause, s."""
        pause, self._next = self._next, min(2 * self._next, self._most)
        return pause * (0.5 + self._random() / 2)

    def reset(self) -> None:
        self._next = self._first


class MqttSink:
    """Delivers to one broker until cancelled; a cancel waits for the PUBACKs of what is in flight."""

    def __init__(
        self,
        config: MqttConfig,
        payload: Payload,
        name: str = "mqtt",
        *,
        random: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._config = config
        self._payload = payload
        self._name = name
        self._sleep = sleep
        self._backoff = Backoff(config.backoff_first_s, config.backoff_most_s, random)
        self._window: Window[StoredRecord] = Window(config.window)
        self._connection: Connection | None = None
        self._reader: Reader | None = None
        self._room = asyncio.Event()
        self._empty = asyncio.Event()
        self._progress_at = 0.0
        self._per_record = 1
        self._delivered = 0
        self._repeated = 0
        self._connects = 0
        self._last_error = ""
        self._numbers: dict[tuple[bytes, int], int] = {}  # the last delivered, by node and class

    @property
    def name(self) -> str:
        return self._name

    def status(self) -> dict[str, object]:
        return {
            "broker": str(self._config.address),
            "connected": self._connection is not None,
            "delivered": self._delivered,
            "in_flight": self._window.in_flight,
            "repeated": self._repeated,
            "connects": self._connects,
            "unknown_pubacks": self._window.unknown_acks,
            "last_error": self._last_error,
            "numbers": self._forwarded(),
        }

    def _forwarded(self) -> dict[str, dict[str, int]]:
        """The last number delivered since the start, by node and class."""
        found: dict[str, dict[str, int]] = {}
        for (node, cls), number in self._numbers.items():
            found.setdefault(node.hex(), {})[CLASS_NAMES[cls]] = number
        return found

    async def run(self, reader: Reader) -> None:
        """Deliver from the reader's last commit on, until cancelled."""
        reader.rewind()
        self._reader = reader
        self._window = Window(self._config.window)
        self._room.set()
        feeding = asyncio.create_task(self._feed(reader))
        connecting = asyncio.create_task(self._keep_connected())
        try:
            done, _ = await asyncio.wait((feeding, connecting), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except asyncio.CancelledError:
            feeding.cancel()
            await self._drain()
            raise
        finally:
            feeding.cancel()
            connecting.cancel()
            await asyncio.gather(feeding, connecting, return_exceptions=True)

    async def _feed(self, reader: Reader) -> None:
        """Records into the window, at most as many as it needs."""
        window = self._window
        while True:
            await self._room.wait()
            room = window.size - window.held
            batch = await reader.next_batch(max(1, room // self._per_record))
            before = window.held
            for stored in batch:
                window.put(self._payload.messages(stored.record), stored)
            self._per_record = max(1, (window.held - before) // len(batch))
            self._settle()
            self._send()

    async def _keep_connected(self) -> None:
        while True:
            try:
                await self._serve(await self._open())
            except MqttError as error:
                pause = self._backoff.pause()
                self._last_error = str(error)
                logs.event(logs.WARNING, "sink-lost", sink=self._name, error=error, again_s=round(pause, 1))
                await self._sleep(pause)

    async def _open(self) -> Connection:
        config = self._config
        connect = Connect(
            config.client_id,
            keep_alive=config.keep_alive_s,
            clean_session=False,  # so that a repeat keeps its packet identifier and says DUP
            username=config.username,
            password=config.password,
        )
        return await open_connection(
            config.address, connect, self._on_pubacks, self._send, config.connect_timeout_s
        )

    async def _serve(self, connection: Connection) -> None:
        """Use a connection until it is over; raises why."""
        loop = asyncio.get_running_loop()
        opened_at = self._progress_at = loop.time()
        repeat = self._window.repeat()
        self._connects += 1
        self._repeated += len(repeat.messages)
        count = len(repeat.messages)
        address = self._config.address
        logs.event(logs.INFO, "sink-connected", sink=self._name, broker=address, repeated=count)
        self._connection = connection
        connection.publish(
            repeat, dup=connection.connack.result().session_present, retain=self._config.retain
        )
        self._send()
        limit = self._config.progress_timeout_s
        try:
            while not connection.closed.done():
                await asyncio.wait((connection.closed,), timeout=limit / 4)
                if loop.time() - opened_at > self._config.backoff_most_s:
                    self._backoff.reset()
                if self._window.in_flight and loop.time() - self._progress_at > limit:
                    reason = f"no PUBACK from {self._config.address} for {limit:g} s; see the broker's log"
                    connection.abort(ConnectionLost(reason))
            raise connection.closed.result()
        finally:
            self._connection = None
            connection.disconnect()

    def _send(self) -> None:
        """Send what the window allows; nothing while the broker does not read."""
        if self._connection and not self._connection.paused:
            if not self._window.in_flight:
                self._progress_at = asyncio.get_running_loop().time()
            if (run := self._window.take()).messages:
                self._connection.publish(run, retain=self._config.retain)

    def _on_pubacks(self, packet_ids: Sequence[int]) -> bool:
        count = self._window.acknowledge(packet_ids)
        if count:
            self._delivered += count
            self._progress_at = asyncio.get_running_loop().time()
            self._backoff.reset()
            self._settle()
            self._send()
        return self._window.in_flight > MANY

    def _settle(self) -> None:
        """Commit what is delivered, and say whether there is room or nothing left."""
        assert self._reader
        last: dict[int, StoredRecord] = {}
        for stored in self._window.delivered():
            record = stored.record
            last[record.cls] = stored
            if record.last:
                self._numbers[record.node, record.cls] = record.last
        for stored in last.values():
            self._reader.commit(stored.position)
        # Refill by halves: a batch of some size costs the loop less than one for each few PUBACKs.
        if self._window.held <= self._window.size // 2:
            self._room.set()
        else:
            self._room.clear()
        if not self._window.held:
            self._empty.set()
        else:
            self._empty.clear()

    async def _drain(self) -> None:
        """Wait for the PUBACKs of what is in flight, where there is a connection."""
        if self._connection and self._window.held:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._config.drain_timeout_s):
                    await self._empty.wait()
