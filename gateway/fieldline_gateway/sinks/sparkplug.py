"""The driver of the Sparkplug edge node: its events from an MQTT connection, its actions carried out.

Rules: actions are carried out from first to last before the next event is handed in; bdSeq is on disk before the
CONNECT that has it (docs/sparkplug.md 6). The store is read in its order: what of it is old the edge node says.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress

from fieldline_gateway import logs
from fieldline_gateway.errors import GatewayError
from fieldline_gateway.mqtt.address import Address
from fieldline_gateway.mqtt.client import Connection, Events, Incoming
from fieldline_gateway.mqtt.codec import fields, reasons
from fieldline_gateway.mqtt.codec.v5 import Will
from fieldline_gateway.mqtt.dialer import Dialer
from fieldline_gateway.mqtt.errors import ConnectionLost, MqttError
from fieldline_gateway.mqtt.window import Run
from fieldline_gateway.pace import Pace
from fieldline_gateway.records import Position
from fieldline_gateway.sinks.mqtt_config import MqttConfig
from fieldline_gateway.sinks.port import Notes, Reader
from fieldline_gateway.sinks.servers import Backoff, Servers
from fieldline_gateway.sparkplug import actions
from fieldline_gateway.sparkplug.clock import Now
from fieldline_gateway.sparkplug.config import EdgeConfig
from fieldline_gateway.sparkplug.datatypes import Value
from fieldline_gateway.sparkplug.devices import IDENTIFY, REBOOT, Known
from fieldline_gateway.sparkplug.edge import EdgeNode
from fieldline_gateway.sparkplug.session import State

BATCH = 100
"""Records read at a time: a payload or two."""
BD_SEQ, CATALOGUE = "bdSeq", "catalogue"
FLUSH_S = 1.0
"""How long a stop waits for the server to take NDEATH: its PUBACK."""

__all__ = ["COMMANDS", "OnCommand", "SparkplugSink", "Value"]

COMMANDS = {REBOOT: "restart", IDENTIFY: "identify"}
"""The controls of a device, as words of command.send (docs/fleet.md 4)."""

OnCommand = Callable[[bytes, str, Value], None]
"""Node, control, value: what a host wrote."""


class SparkplugSink:
    """One edge node over all its connections; runs until cancelled, which ends the session with NDEATH."""

    def __init__(
        self,
        config: MqttConfig,
        edge: EdgeConfig,
        name: str,
        *,
        notes: Notes,
        name_of: Callable[[bytes], str],
        on_command: OnCommand,
        random: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.pace: Pace | None = None
        self._config = config
        self._edge_config = edge
        self._name = name
        self._notes = notes
        self._name_of = name_of
        self._on_command = on_command
        self._sleep = sleep
        self._backoff = Backoff(config.backoff_first_s, config.backoff_most_s, random)
        self._servers = Servers(config.addresses)
        self._dialer = Dialer(config.level)
        self._edge: EdgeNode | None = None
        self._reader: Reader | None = None
        self._connection: Connection | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._wanted = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self._saving: asyncio.Task[None] | None = None
        self._next_server = False
        self._was_on = False
        self._connects = 0
        self._last_error = ""

    @property
    def name(self) -> str:
        return self._name

    def status(self) -> dict[str, object]:
        """The edge node's counters beside those of the connection."""
        connection = self._connection
        return {
            "broker": str(self._servers.current),
            "connected": connection is not None,
            "protocol": "" if connection is None else "5.0" if connection.server.level == 5 else "3.1.1",
            "connects": self._connects,
            "last_error": self._last_error,
            "sparkplug": self._edge.status() if self._edge else {},
        }

    async def told(self) -> Iterable[bytes]:
        """Devices of the catalogue."""
        self._edge = await self._load()
        return [known.node for known in self._edge.catalogue()]

    def heard(self, node: bytes) -> None:
        self._event(lambda edge, now: edge.heard(now, node))

    def silent(self, node: bytes) -> None:
        self._event(lambda edge, now: edge.silent(now, node))

    def removed(self, node: bytes) -> None:
        self._event(lambda edge, now: edge.removed(now, node))

    async def run(self, reader: Reader) -> None:
        """Serve until cancelled."""
        self._reader = reader
        reader.rewind()
        assert self._edge, "told() comes first"
        feeding = asyncio.create_task(self._feed(self._edge, reader))
        connecting = asyncio.create_task(self._keep_connected(self._edge))
        try:
            done, _ = await asyncio.wait((feeding, connecting), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except asyncio.CancelledError:
            await self._leave(self._edge)
            raise
        finally:
            tasks = [task for task in (feeding, connecting, self._saving) if task]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._timer:
                self._timer.cancel()

    async def _load(self) -> EdgeNode:
        """The edge node as the last start left it."""
        bd_seq = await self._notes.load(BD_SEQ)
        kept = await self._notes.load(CATALOGUE)
        catalogue = [
            Known(bytes.fromhex(node), tuple((sensor, quantity) for sensor, quantity in points))
            for node, points in (json.loads(kept) if kept else ())
        ]
        return EdgeNode(self._edge_config, int(bd_seq) if bd_seq else None, catalogue, self._name_of)

    # --- the connection

    async def _keep_connected(self, edge: EdgeNode) -> None:
        while True:
            address = self._servers.current
            try:
                await self._serve(edge, await self._open(edge, address))
            except GatewayError as error:
                self._last_error = str(error)
                if self._try_next(error):
                    following = self._servers.current
                    logs.event(logs.WARNING, "sink-lost", sink=self._name, error=error, next=following)
                else:
                    pause = self._backoff.pause()
                    again_s = round(pause, 1)
                    logs.event(logs.WARNING, "sink-lost", sink=self._name, error=error, again_s=again_s)
                    await self._sleep(pause)

    def _try_next(self, error: GatewayError) -> bool:
        """Choose the next server; whether to try it at once. After a session that was on: the first one."""
        was_on, self._was_on = self._was_on, False
        if was_on and not self._next_server:
            self._servers.go_home()
            return False
        return isinstance(error, MqttError) and not self._servers.failed(error)

    async def _open(self, edge: EdgeNode, address: Address) -> Connection:
        """CONNECT with the next bdSeq, which is on disk before."""
        asked = edge.open(_now(), str(address))
        save, connect = asked
        assert isinstance(save, actions.SaveBdSeq) and isinstance(connect, actions.Connect)
        will = connect.will
        packet = self._config.connect(clean=True, will=Will(will.topic, will.payload, will.qos, will.retain))
        events = Events(self._on_pubacks, self._wake, self._on_refused, self._on_message)
        try:
            await self._notes.save(BD_SEQ, b"%d" % save.bd_seq)
            return await self._dialer.open(address, packet, events, self._config.connect_timeout_s)
        except ConnectionLost as error:
            edge.lost(_now())
            if isinstance(error.__cause__, OSError):
                edge.not_sent()  # there was no transport
            raise
        except BaseException:
            edge.lost(_now())
            raise

    async def _serve(self, edge: EdgeNode, connection: Connection) -> None:
        """Use a connection until it is over; raises why."""
        self._connection = connection
        self._connects += 1
        self._next_server = False
        logs.event(logs.INFO, "sink-connected", sink=self._name, broker=self._servers.current)
        try:
            self._do(edge, edge.connected(_now()))
            raise await connection.closed
        finally:
            self._connection = None
            connection.disconnect()
            self._do(edge, edge.lost(_now()))

    async def _leave(self, edge: EdgeNode) -> None:
        """NDEATH, which the server has acknowledged or has had time for, and DISCONNECT."""
        connection = self._connection
        if connection is None:
            return
        asked = edge.stop(_now())
        self._acknowledged.clear()
        for action in asked:
            if isinstance(action, actions.Disconnect) and len(asked) > 1:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._acknowledged.wait(), FLUSH_S)
            self._carry_out(edge, action)

    # --- events

    def _event(self, happened: Callable[[EdgeNode, Now], list[actions.Action]]) -> None:
        if self._edge is not None:
            self._do(self._edge, happened(self._edge, _now()))

    def _on_pubacks(self, _: Sequence[int]) -> bool:
        self._acknowledged.set()
        return False

    def _on_refused(self, _packet_id: int, code: int, text: str) -> None:
        self._acknowledged.set()
        logs.event(logs.WARNING, "sink-refused", sink=self._name, code=code, why=text)

    def _on_message(self, packet: Incoming) -> None:
        self._event(lambda edge, now: edge.message(now, packet.topic, packet.payload))

    def _wake(self) -> None:
        if self._edge is not None and self._edge.wants_records and not self._paused:
            self._wanted.set()
        else:
            self._wanted.clear()

    @property
    def _paused(self) -> bool:
        return self._connection is not None and self._connection.paused

    async def _feed(self, edge: EdgeNode, reader: Reader) -> None:
        """Records to the edge node, as long as it wants any."""
        while True:
            await self._wanted.wait()
            batch = await reader.next_batch(BATCH)
            self._do(edge, edge.records(_now(), batch))

    def _poll(self) -> None:
        self._timer = None
        self._event(lambda edge, now: edge.poll(now))

    # --- actions

    def _do(self, edge: EdgeNode, asked: Sequence[actions.Action]) -> None:
        for action in asked:
            self._carry_out(edge, action)
        if edge.state is State.ONLINE:
            self._was_on = True
            self._backoff.reset()
        self._wake()
        if self._timer:
            self._timer.cancel()
        wait = edge.wait_ms(_now())
        loop = asyncio.get_running_loop()
        self._timer = None if wait is None else loop.call_later(wait / 1000, self._poll)

    def _carry_out(self, edge: EdgeNode, action: actions.Action) -> None:
        connection, reader = self._connection, self._reader
        match action:
            case actions.Commit(position) if reader:
                reader.commit(Position(*position))
            case actions.Rewind() if reader:
                reader.rewind()
            case actions.SaveCatalogue():
                self._save(edge)
            case actions.DeviceCommand(node, name, value):
                self._on_command(node, name, value)
            case _ if connection is None:
                return  # it ended meanwhile, and edge.lost() comes
            case actions.Publish(topic, payload, qos) if qos:
                connection.publish(Run([(fields.text(topic), payload, b"")], 1))
            case actions.Publish(topic, payload):
                connection.send(topic, payload)
            case actions.Subscribe(filters):
                answer = connection.subscribe(filters)
                answer.add_done_callback(lambda done: self._subscribed(action, done))
            case actions.Unsubscribe(filters):
                connection.unsubscribe(filters)
            case actions.Ping():
                connection.ping().add_done_callback(self._ponged)
            case actions.Disconnect(why, next_server, code):
                self._hang_up(connection, why, next_server, code)

    def _hang_up(self, connection: Connection, why: str, next_server: bool, code: int) -> None:
        self._next_server = next_server
        logs.event(logs.INFO, "sink-leaves", sink=self._name, why=why)
        # Its NDEATH is sent already; 3.1.1 could ask for the will only by going without a word.
        connection.disconnect(code if connection.server.level == 5 else reasons.SUCCESS)

    def _subscribed(self, action: actions.Subscribe, done: asyncio.Future[tuple[int, ...]]) -> None:
        if done.cancelled() or done.exception():
            return
        codes = done.result()
        refused = [
            name
            for (name, _), code in zip(action.filters, codes, strict=False)
            if code >= reasons.UNSPECIFIED
        ]
        self._event(lambda edge, now: edge.subscribed(now, action, refused))

    def _ponged(self, done: asyncio.Future[None]) -> None:
        if not done.cancelled() and not done.exception():
            self._event(lambda edge, now: edge.pong(now))

    def _save(self, edge: EdgeNode) -> None:
        rows = [(known.node.hex(), known.points) for known in edge.catalogue()]
        before = self._saving

        async def keep() -> None:
            if before:
                await asyncio.gather(before, return_exceptions=True)
            try:
                await self._notes.save(CATALOGUE, json.dumps(rows).encode())
            except GatewayError as error:
                logs.event(logs.WARNING, "sink-note-failed", note=CATALOGUE, error=error)

        self._saving = asyncio.create_task(keep())


def _now() -> Now:
    return Now(time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000)
