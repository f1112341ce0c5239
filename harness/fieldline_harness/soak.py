"""A site under one hand, to be mistreated: simulated nodes, the gateway's process, mosquitto, and a judge.

Rules: the gateway runs on a disk that forgets what was not synced (lossy_gateway.py), so SIGKILL is a power cut.
Nodes are simulated, with the session of real ones (fieldline_wire.session) and an outbox that loses nothing: whatever
number a node has given must reach the judge, a stock MQTT subscriber. Misfortunes come from a seeded source.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sys
import time
from collections.abc import Awaitable
from pathlib import Path
from random import Random
from typing import Protocol

from fieldline_gateway.records import CLASS_NAMES, CLASSES, LIVE
from fieldline_gateway.store.record import recover
from fieldline_gateway.store.segment import SegmentName
from fieldline_harness.gateway_process import GatewayProcess
from fieldline_harness.ledger import Key
from fieldline_harness.line import Line
from fieldline_harness.mosquitto import Mosquitto
from fieldline_harness.proxy import Proxy
from fieldline_harness.subscriber import Subscriber
from fieldline_host.ccm import AesCcm
from fieldline_wire.errors import PeerError
from fieldline_wire.messages import (
    ACK_HOLD,
    ACK_UNKNOWN_STREAM,
    QTY_SPEED,
    Ack,
    Hello,
    Reading,
    Report,
    decode,
)
from fieldline_wire.seal import open_sealed, peek, seal_uplink
from fieldline_wire.serial import DELIMITER, KIND_SEALED, Reader, encode
from fieldline_wire.session import Session

LOSSY = (sys.executable, "-m", "fieldline_harness.lossy_gateway")
# All that was acknowledged to the gateway is on the broker's disk when it stops, and its queue has no bound.
BROKER = "allow_anonymous true\npersistence true\nmax_queued_messages 0\nmax_inflight_messages 1000"
START_S = 60.0
DAY_S = 86_400
REPORT = 10
"""Readings of a report at most."""
_EPOCH_S = 1_790_000_000
_TICK_S = 0.02
_PER_TICK = 0.5
"""Readings that each node gives in a tick, in the mean."""


class SoakNode:
    """A simulated node: reading k always has the same content, so that its outbox needs no memory."""

    def __init__(self, number: int, random: Random) -> None:
        self.id = b"\xf1\x50" + number.to_bytes(6, "big")
        self.key = hashlib.sha256(self.id).digest()[:16]
        self.stream = 0x5000 + number
        self.given = 0
        """Its readings have the numbers 1 to this."""
        self._counter = 0
        self._ccm = AesCcm(self.key)
        self._session = Session(lambda: random.getrandbits(16))
        self._session.set_end(LIVE, 1, 1)
        self._session.on_link_up(0)

    @property
    def acknowledged(self) -> bool:
        """All that it has given is the gateway's."""
        return self._session.settled(LIVE) == self.given + 1

    def plug(self, now_ms: int) -> None:
        """Its cable was put in: it says so at once, and does not wait for its next Hello."""
        self._session.on_link_up(now_ms)

    def give(self, count: int) -> None:
        """It has measured so many more."""
        self.given += count
        self._session.set_end(LIVE, self.given + 1, 1)

    def step(self, now_ms: int) -> bytes:
        """What it sends now, as bytes on the line."""
        sent = []
        while (what := self._session.poll(now_ms)) is not None:
            if len(what) == 1:
                sent.append(self._seal(self._hello()))
                continue
            _, cls, first = what
            last = min(self._session.last_for(cls, first), first + REPORT - 1)
            sent.append(self._seal(self._report(first, last)))
            self._session.sent(now_ms, cls, first, last)
        return b"".join(encode(KIND_SEALED, sealed) for sealed in sent)

    def hear(self, now_ms: int, sealed: bytes) -> None:
        """A sealed message came down for it."""
        message = decode(open_sealed(self._ccm, peek(sealed), sealed))
        if not isinstance(message, Ack) or message.stream != self.stream:
            self._session.on_heard(now_ms)
        elif message.status == ACK_UNKNOWN_STREAM:
            self._session.on_unknown_stream(now_ms)
        else:
            self._session.on_ack(now_ms, message.cls, message.next, message.ranges)
            if message.status == ACK_HOLD:
                self._session.on_hold(now_ms, 1)  # at once again: a soak has no time for ten seconds of rest

    def _hello(self) -> bytes:
        oldest = self._session.settled(LIVE)  # what was acknowledged is let go
        classes = [(cls, self.given + 1, oldest) if cls == LIVE else (cls, 1, 1) for cls in CLASSES]
        return Hello(self.stream, board="simulated", firmware="0", classes=classes).to_bytes()

    def _report(self, first: int, last: int) -> bytes:
        base = first // 10  # a reading each 0.1 s
        readings = [
            Reading(10 * number - 100 * base, 1, QTY_SPEED, 0, number) for number in range(first, last + 1)
        ]
        return Report(LIVE, self.stream, first, _EPOCH_S + base, 1, readings, utc=True).to_bytes()

    def _seal(self, message: bytes) -> bytes:
        self._counter += 1
        return seal_uplink(self._ccm, self.id, 0, 1, self._counter, message)


class Misfortune(Protocol):
    """What can befall a site, by a name."""

    __name__: str

    def __call__(self) -> Awaitable[None]: ...


class Site:
    """`async with` starts and stops it; the methods below `what can befall it` mistreat it."""

    def __init__(
        self, folder: Path, *, nodes: int, seed: int, environment: dict[str, str] | None = None
    ) -> None:
        self.random = Random(seed)
        self.broker = Mosquitto(folder / "broker", BROKER)
        self.subscriber = Subscriber(self.broker.port)
        self.nodes = {node.id: node for node in (SoakNode(i, self.random) for i in range(1, nodes + 1))}
        self.longest_gap_s = 0.0
        """The longest time in which no new reading reached the judge."""
        self.proxy = Proxy(self.broker.port)
        self._folder = folder
        self.control = folder / "control"
        """What lossy_gateway.py is told while it runs."""
        self._environment = {"FIELDLINE_TEST_CONTROL": str(self.control), **(environment or {})}
        self.control.mkdir(parents=True)
        self._line = Line(folder / "ttySOAK", self._received)
        self._reader = Reader()
        self._quiet = False
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Site:
        self._stack.enter_context(self.broker)
        await self._stack.enter_async_context(self.proxy)
        self.subscriber.connect()
        self._stack.enter_context(self.subscriber)
        self._stack.enter_context(self._line)
        self.gateway = GatewayProcess(
            self._folder / "gateway",
            f'[gateway]\nname = "soak"\n[serial]\nports = ["{self._line.path}"]\n[store]\nsegment_mib = 1\n'
            f'[[sink]]\nkind = "json"\nurl = "mqtt://127.0.0.1:{self.proxy.port}"\n'
            "keep_alive_s = 2\nprogress_timeout_s = 2\n",
            command=LOSSY,
            environment=self._environment,
        )
        self.gateway.enroll({node.id: node.key for node in self.nodes.values()})
        await self.gateway.start()
        self._stack.push_async_callback(self.gateway.kill)
        await self.gateway.until_runs(START_S)
        life = asyncio.create_task(self._live())
        self._stack.push_async_callback(_ended, life)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    # --- what can befall it; each leaves it whole again

    async def killed(self) -> None:
        """SIGKILL; garbage behind what was on disk; sometimes the start that follows is killed, too."""
        await self.gateway.kill()
        soil(self.gateway.data / "store", self.random)
        await self.gateway.start()
        if self.random.random() < 0.1:
            await asyncio.sleep(self.random.uniform(0, 0.6))
            await self.gateway.kill()
            await self.gateway.start()
        await self.gateway.until_runs(START_S)
        for node in self.nodes.values():
            node.plug(int(time.monotonic() * 1000))

    async def broker_gone(self) -> None:
        await asyncio.to_thread(self.broker.stop)
        await asyncio.sleep(self.random.uniform(0.1, 1.5))
        await asyncio.to_thread(self.broker.start)

    async def broker_silent(self) -> None:
        """It accepts and never answers."""
        self.broker.pause()
        await asyncio.sleep(self.random.uniform(0.5, 4))
        self.broker.resume()

    async def half_open(self) -> None:
        """The way to the broker is dead and nobody says so."""
        self.proxy.half_open()
        await asyncio.sleep(self.random.uniform(0.5, 4))

    async def disk_full(self) -> None:
        (self.control / "full").touch()
        await asyncio.sleep(self.random.uniform(0.1, 1.5))
        (self.control / "full").unlink()

    async def clock_jumped(self) -> None:
        """A day ahead, a day behind, or back."""
        ahead = self.random.choice((-DAY_S, 0, DAY_S))
        (self.control / "clock").write_text(str(ahead))
        await asyncio.sleep(self.random.uniform(0.1, 1))

    @property
    def misfortunes(self) -> list[Misfortune]:
        """All but the kill."""
        return [self.broker_gone, self.broker_silent, self.half_open, self.disk_full, self.clock_jumped]

    # --- what came of it

    def readings(self) -> int:
        """How many different ones reached the judge."""
        with self.subscriber.lock:
            return self.subscriber.ledger.count()[0]

    async def until_more(self, count: int, within_s: float) -> None:
        """Until so many more readings reached the judge. TimeoutError where they do not."""
        wanted = self.readings() + count
        deadline = time.monotonic() + within_s
        while (count := self.readings()) < wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{count} readings after {within_s:g} s, not {wanted}")
            await asyncio.sleep(_TICK_S)

    async def until_given(self, count: int) -> None:
        """Until each node has given so many more."""
        wanted = {node: node.given + count for node in self.nodes.values()}
        while True:
            if all(node.given >= number for node, number in wanted.items()):
                return
            await asyncio.sleep(_TICK_S)

    async def rest(self, within_s: float) -> None:
        """Nodes measure no more, and all that they have given is acknowledged. TimeoutError where it is not."""
        self._quiet = True
        deadline = time.monotonic() + within_s
        while not all(node.acknowledged for node in self.nodes.values()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not all was acknowledged within {within_s:g} s")
            await asyncio.sleep(_TICK_S)

    async def faults(self, within_s: float) -> list[str]:
        """Nodes measure no more; what breaks the promise when all has arrived or the time is over, in words."""
        self._quiet = True
        given: dict[Key, int] = {
            (node.id.hex(), node.stream, CLASS_NAMES[LIVE]): node.given for node in self.nodes.values()
        }
        deadline = time.monotonic() + within_s
        while True:
            with self.subscriber.lock:
                found = self.subscriber.ledger.faults(given)
            if not found or time.monotonic() > deadline:
                return found
            await asyncio.sleep(0.2)

    # --- its life

    async def _live(self) -> None:
        """Nodes measure and talk; whether anything arrives is watched."""
        seen, at = 0, time.monotonic()
        watch_at = 0.0
        while True:
            now = time.monotonic()
            for node in self.nodes.values():
                if not self._quiet and self.random.random() < _PER_TICK:
                    node.give(1)
                if said := node.step(int(now * 1000)):
                    self._line.offer(DELIMITER + said)
            if now >= watch_at:
                watch_at = now + 0.1
                if (count := self.readings()) != seen:
                    seen, at = count, now
                self.longest_gap_s = max(self.longest_gap_s, now - at)
            await asyncio.sleep(_TICK_S)

    def _received(self, data: bytes) -> None:
        now_ms = int(time.monotonic() * 1000)
        for _, sealed in self._reader.feed(data):
            with contextlib.suppress(PeerError):  # half a frame of a gateway that was killed
                node = self.nodes.get(peek(sealed).node)
                if node is not None:
                    node.hear(now_ms, sealed)


def soil(store: Path, random: Random) -> None:
    """Write behind the end of the newest segment of each class what a cut may leave there."""
    newest: dict[int, SegmentName] = {}
    for path in store.iterdir():
        name = SegmentName.parse(path.name)
        if name is not None and name.first_seq >= newest.get(name.cls, name).first_seq:
            newest[name.cls] = name
    for name in newest.values():
        with (store / str(name)).open("r+b") as file:
            data = file.read()
            end = recover(data, name.salt, name.first_seq).end
            file.seek(end)
            file.write(tail(data[:end], random))


def tail(data: bytes, random: Random) -> bytes:
    """Bytes behind a segment's content: nothing, garbage, or blocks that were on disk elsewhere, whole or torn."""
    kind = random.randrange(4)
    if kind == 0 or not data:
        return b""
    if kind == 1:
        return random.randbytes(random.randint(1, 600))
    if kind == 2:
        return data[:2] + random.randbytes(random.randint(1, 600))  # begins as a block does
    first, last = sorted(random.randrange(len(data) + 1) for _ in range(2))
    return data[: last - first] if random.random() < 0.5 else data[first:last]


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
