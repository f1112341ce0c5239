"""The store's records to an MQTT broker, QoS 1.

Rules: the cursor moves only over messages that the broker acknowledged, in their order; what is in flight is
repeated after a lost connection, and nothing else (window.py). One task reads the store into the window, one
keeps the connection; neither waits for the other but through the window. Every failure is one log line with
what to do, and a pause that doubles. What a server refuses for good goes to the dead letters, and the rest goes on.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress

from fieldline_gateway import logs
from fieldline_gateway.errors import StoreError
from fieldline_gateway.mqtt.address import Address
from fieldline_gateway.mqtt.client import Connection, Events
from fieldline_gateway.mqtt.codec import reasons
from fieldline_gateway.mqtt.dialer import Dialer
from fieldline_gateway.mqtt.errors import ConnectionLost, MqttError, Refused
from fieldline_gateway.mqtt.window import Run, Window
from fieldline_gateway.records import StoredRecord
from fieldline_gateway.sinks.dead_letters import DeadLetters, Letter
from fieldline_gateway.sinks.mqtt_config import MqttConfig
from fieldline_gateway.sinks.payload import Payload, iso_time
from fieldline_gateway.sinks.port import Herald, Notice, Reader, Silent
from fieldline_gateway.sinks.servers import Backoff, Servers

__all__ = ["Backoff", "MqttSink"]

MANY = 200
"""Messages in flight from which on PUBACKs are read by the millisecond: below it each may be waited for."""
LETTER_PAUSE_S = 5.0
"""After the dead letters could not be written."""


class MqttSink:
    """Delivers to one broker at a time until cancelled; a cancel waits for the PUBACKs of what is in flight."""

    def __init__(
        self,
        config: MqttConfig,
        payload: Payload,
        name: str = "mqtt",
        *,
        herald: Herald | None = None,
        random: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.pace = config.pace
        self._config = config
        self._payload = payload
        self._name = name
        self._herald = herald or Silent()
        self._sleep = sleep
        self._backoff = Backoff(config.backoff_first_s, config.backoff_most_s, random)
        self._refusals = Backoff(config.backoff_first_s, config.backoff_most_s, random)
        self._window: Window[StoredRecord] = Window(config.window)
        self._dialer = Dialer(config.level)
        self._servers = Servers(config.addresses)
        self._letters = DeadLetters(config.dead_letters)
        self._connection: Connection | None = None
        self._reader: Reader | None = None
        self._room = asyncio.Event()
        self._empty = asyncio.Event()
        self._progress_at = 0.0
        self._lost_at: float | None = None
        self._worked = False
        """The connection has done what it is for, so its end says nothing of the server."""
        self._late: set[int] = set()  # refused for now, by packet identifier
        self._refused: list[tuple[int, int, str]] = []  # for good
        self._burying: asyncio.Task[None] | None = None
        self._per_record = 1
        self._counts = dict.fromkeys(("delivered", "repeated", "connects", "dead_letters", "put_off"), 0)
        self._last_error = ""

    @property
    def name(self) -> str:
        return self._name

    def status(self) -> dict[str, object]:
        connection = self._connection
        return {
            "broker": str(self._servers.current),
            "connected": connection is not None,
            "protocol": "" if connection is None else "5.0" if connection.server.level == 5 else "3.1.1",
            **self._counts,
            "dead_letters_file": str(self._letters.path or ""),
            "in_flight": self._window.in_flight,
            "unknown_pubacks": self._window.unknown_acks,
            "last_error": self._last_error,
        }

    async def told(self) -> Iterable[bytes]:
        """Nodes that others were told of, in an earlier run too."""
        await self._herald.load()
        return self._herald.known()

    def heard(self, node: bytes) -> None:
        self._tell(self._herald.heard(node))

    def silent(self, node: bytes) -> None:
        self._tell(self._herald.silent(node))

    def removed(self, node: bytes) -> None:
        self._tell(self._herald.removed(node))

    def _tell(self, notices: Sequence[Notice]) -> None:
        """Say what does not come from the store; who is not connected says it when it is."""
        if self._connection:
            retain = self._connection.server.retain_available
            for notice in notices:
                self._connection.send(notice.topic, notice.payload, retain=retain)

    async def run(self, reader: Reader) -> None:
        """Deliver from the reader's last commit on, until cancelled."""
        self._reader = reader
        self._lost_at = None
        self._begin()
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
            tasks = [task for task in (feeding, connecting, self._burying) if task]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self) -> None:
        """Take all from the last commit on anew."""
        assert self._reader
        self._reader.rewind()
        self._payload.forget()
        self._window = Window(self._config.window)
        self._per_record = 1
        self._late.clear()
        self._refused.clear()
        self._room.set()

    async def _feed(self, reader: Reader) -> None:
        """Records into the window, at most as many as it needs."""
        while True:
            await self._room.wait()
            room = self._window.size - self._window.held
            batch = await reader.next_batch(max(1, room // self._per_record))
            window = self._window  # it may have begun anew meanwhile, and so has the reader
            before = window.held
            messages = self._payload.messages
            for stored in batch:
                if notices := self._herald.seen(stored.record):
                    self._tell(notices)
                window.put(messages(stored.record, stored.late), stored)
            self._per_record = max(1, (window.held - before) // len(batch))
            self._settle()
            self._send()

    # --- the connection

    async def _keep_connected(self) -> None:
        """One connection after the other."""
        candidate: Connection | None = None
        while True:
            try:
                candidate = await self._serve(candidate or await self._open(self._servers.current))
            except MqttError as error:
                candidate = None
                self._last_error = str(error)
                if self._moved_on(error):
                    pause = self._backoff.pause()
                    again_s = round(pause, 1)
                    logs.event(logs.WARNING, "sink-lost", sink=self._name, error=error, again_s=again_s)
                    await self._sleep(pause)
                else:
                    following = self._servers.current
                    logs.event(logs.WARNING, "sink-lost", sink=self._name, error=error, next=following)

    def _moved_on(self, error: MqttError) -> bool:
        """Choose the next server; whether a pause is due."""
        if self._lost_at is None:
            self._lost_at = asyncio.get_running_loop().time()
        worked, self._worked = self._worked, False
        if worked and not (isinstance(error, Refused) and error.code in reasons.MOVED):
            self._servers.go_home()
            return True
        return self._servers.failed(error)

    async def _open(self, address: Address) -> Connection:
        config = self._config
        events = Events(self._on_pubacks, self._send, self._on_refused)
        connect = config.connect(clean=self._is_stale(), will=self._herald.will)
        connection = await self._dialer.open(address, connect, events, config.connect_timeout_s)
        if (
            self._is_stale() or not self._window.in_flight
        ):  # nothing is owed: what came meanwhile may be newer
            self._counts["repeated"] += self._window.in_flight
            self._begin()
        return connection

    def _is_stale(self) -> bool:
        """What is in the window was live, and is backlog by now."""
        if self._lost_at is None or self._config.pace is None or not self._window.held:
            return False
        return asyncio.get_running_loop().time() - self._lost_at > self._config.pace.fresh_s

    async def _serve(self, connection: Connection) -> Connection:
        """Use a connection until it is over and raise why; or until there is a better one: that one."""
        loop = asyncio.get_running_loop()
        opened_at = self._progress_at = loop.time()
        self._began_on(connection)
        limit = self._config.progress_timeout_s
        home_at = opened_at + self._config.home_after_s
        try:
            while not connection.closed.done():
                await asyncio.wait((connection.closed,), timeout=limit / 4)
                now = loop.time()
                if now - opened_at > self._config.backoff_most_s:
                    self._worked = True
                    self._backoff.reset()
                if self._window.in_flight and now - self._progress_at > limit:
                    reason = f"no PUBACK from {self._servers.current} for {limit:g} s; see the broker's log"
                    self._worked = False
                    connection.abort(ConnectionLost(reason))
                elif now >= home_at and not self._servers.at_home and not connection.closed.done():
                    home_at = now + self._config.home_after_s
                    if better := await self._go_home(connection):
                        return better
            raise connection.closed.result()
        finally:
            self._lost_at = loop.time()
            self._connection = None
            connection.disconnect()

    def _began_on(self, connection: Connection) -> None:
        """Repeat what was in flight, and go on."""
        window = self._window
        window.allow(connection.server.receive_maximum)
        self._late.clear()
        self._counts["connects"] += 1
        self._lost_at = None
        self._worked = False
        address, again = self._servers.current, window.in_flight
        logs.event(logs.INFO, "sink-connected", sink=self._name, broker=address, repeated=again)
        repeat = window.repeat()
        self._connection = connection
        self._tell(self._herald.connected())
        self._publish(repeat)
        self._send()

    async def _go_home(self, connection: Connection) -> Connection | None:
        """A connection to the first server, where it answers; the present one has acknowledged all then."""
        try:
            better = await self._open(self._servers.first)
        except MqttError as error:
            logs.event(logs.INFO, "sink-stays", sink=self._name, broker=self._servers.current, error=error)
            return None
        self._connection = None
        loop = asyncio.get_running_loop()
        until = loop.time() + self._config.drain_timeout_s
        while self._window.in_flight and loop.time() < until and not connection.closed.done():
            await asyncio.wait((connection.closed,), timeout=0.01)
        self._servers.go_home()
        return better

    # --- sending

    def _send(self) -> None:
        """Send what the window allows; nothing while the broker does not read."""
        if self._connection and not self._connection.paused:
            if not self._window.in_flight:
                self._progress_at = asyncio.get_running_loop().time()
            while (run := self._window.take()).messages:
                self._publish(run)

    def _publish(self, run: Run) -> None:
        assert self._connection
        server = self._connection.server
        self._counts["repeated"] += len(run.messages) if run.repeated else 0
        retain = self._config.retain and server.retain_available
        self._connection.publish(run, dup=run.repeated and server.session_present, retain=retain)

    def _on_pubacks(self, packet_ids: Sequence[int]) -> bool:
        count = self._window.acknowledge(packet_ids)
        if count:
            self._worked = True
            self._counts["delivered"] += count
            self._progress_at = asyncio.get_running_loop().time()
            self._backoff.reset()
            self._refusals.reset()
            self._settle()
            self._send()
        return self._window.in_flight > MANY

    def _on_refused(self, packet_id: int, code: int, text: str) -> None:
        self._progress_at = asyncio.get_running_loop().time()
        if code in reasons.PERMANENT:
            self._refused.append((packet_id, code, text))
            if self._burying is None or self._burying.done():
                self._burying = asyncio.create_task(self._bury())
            return
        self._counts["put_off"] += 1
        if not self._late:
            pause = self._refusals.pause()
            logs.event(logs.WARNING, "sink-put-off", sink=self._name, why=text, again_s=round(pause, 1))
            asyncio.get_running_loop().call_later(pause, self._once_more, self._connection)
        self._late.add(packet_id)

    def _once_more(self, connection: Connection | None) -> None:
        """Send again what this connection's server did not want for now."""
        if connection is not None and connection is self._connection:
            late = list(self._late)
            self._late.clear()
            for run in self._window.resend(late):
                self._publish(run)

    async def _bury(self) -> None:
        """Put what was refused for good on disk, then let the cursor pass it."""
        while refused := self._refused[:]:
            window = self._window
            server = str(self._servers.current)
            letters = [
                Letter(iso_time(time.time_ns() // 1_000_000), server, code, text, message)
                for packet_id, code, text in refused
                if (message := window.message(packet_id))
            ]
            try:
                await asyncio.to_thread(self._letters.add, letters)
            except StoreError as error:
                logs.event(logs.ERROR, "sink-letters-failed", sink=self._name, error=error)
                await asyncio.sleep(LETTER_PAUSE_S)
                continue
            if window is not self._window:
                continue
            why = refused[0][2]
            logs.event(logs.WARNING, "sink-dead-letters", sink=self._name, count=len(letters), why=why)
            self._counts["dead_letters"] += len(letters)
            del self._refused[: len(refused)]
            window.acknowledge([packet_id for packet_id, _, _ in refused])
            self._settle()
            self._send()

    def _settle(self) -> None:
        """Commit what is delivered, and say whether there is room or nothing left."""
        assert self._reader
        last: dict[tuple[int, bool], StoredRecord] = {}
        for stored in self._window.delivered():
            if stored.seq:
                last[stored.record.cls, stored.late] = stored
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
