"""A night in the field under one hand: SIMULATED nodes on serial lines, a gateway, mosquitto, a judge, a desk.

Rules: gateway, mosquitto and lines are those that a user has; nodes are those of field_node.py. The gateway's disk
forgets what was not synced (lossy_gateway.py), so SIGKILL is a power cut. Misfortunes come from a seeded source.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

from fieldline_gateway.control import ask
from fieldline_gateway.errors import UsageError
from fieldline_harness.gateway_process import GatewayProcess
from fieldline_harness.ledger import Key
from fieldline_harness.line import Line
from fieldline_harness.mosquitto import Mosquitto
from fieldline_harness.soak import BROKER, START_S
from fieldline_harness.subscriber import Subscriber
from fieldline_wire.errors import PeerError
from fieldline_wire.seal import peek
from fieldline_wire.serial import KIND_SEALED, Reader, encode
from tests.ota.releases import Repo
from tests.ota.rollout_desk import Desk
from tests.system.chain import CLASS_NAMES, LOSSY
from tests.system.field_node import FieldNode

PER_LINE = 7
WITHIN_S = 150.0
"""On a machine that is very busy; a rollout to fifty nodes takes 40 s."""
_TICK_S = 0.01


class Drop:
    """A serial line with some nodes on it."""

    def __init__(self, path: Path) -> None:
        self.line = Line(path, self._received)
        self.nodes: dict[bytes, FieldNode] = {}
        self._reader = Reader()

    def _received(self, data: bytes) -> None:
        """Each frame goes to the node that it is for; what does not say so goes to all."""
        for kind, payload in self._reader.feed(data):
            nodes = list(self.nodes.values())
            if kind == KIND_SEALED:
                try:
                    nodes = [self.nodes[peek(payload).node]]
                except (PeerError, KeyError):
                    continue
            for node in nodes:
                node.stream.down.append(encode(kind, payload))
                node.due = 0.0


class Night:
    """`async with` starts and stops it."""

    def __init__(self, folder: Path, repo: Repo, url: str, *, nodes: int, seed: int, sample_ms: int) -> None:
        self.random = Random(seed)
        self.broker = Mosquitto(folder / "broker", BROKER)
        self.subscriber = Subscriber(self.broker.port)
        self.drops = [Drop(folder / f"ttyDROP{i}") for i in range((nodes + PER_LINE - 1) // PER_LINE)]
        self.nodes: dict[bytes, FieldNode] = {}
        for number in range(1, nodes + 1):
            drop = self.drops[number % len(self.drops)]
            node = FieldNode(number, repo.trust, drop.line.offer)
            self.nodes[node.id] = drop.nodes[node.id] = node
        self.gateway = GatewayProcess(
            folder / "gateway",
            f'[gateway]\nname = "night"\n[listener]\nbind = "127.0.0.1:0"\n'
            f"[serial]\nports = {json.dumps([str(drop.line.path) for drop in self.drops])}\n"
            f'[updates]\nrepository = "{url}"\nroot = "{repo.root_file}"\ncheck_s = 10\nshare_percent = 90\n'
            f'[[sink]]\nkind = "json"\nurl = "mqtt://127.0.0.1:{self.broker.port}"\n'
            "keep_alive_s = 2\nprogress_timeout_s = 2\n",
            command=LOSSY,
        )
        self.desk = Desk(folder, repo, self._socket)
        self.broker_restarts = 0
        self._sample_ms = sample_ms
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Night:
        self._stack.enter_context(self.broker)
        self.subscriber.connect()
        self._stack.enter_context(self.subscriber)
        for drop in self.drops:
            self._stack.enter_context(drop.line)
        self.gateway.enroll({node.id: node.key for node in self.nodes.values()})
        self.gateway.desire(self.nodes, self._sample_ms)
        await self.gateway.start()
        self._stack.push_async_callback(self.gateway.kill)
        await self.gateway.until_runs(START_S)
        now = time.monotonic()
        for node in self.nodes.values():
            node.boot(now)
        self._life = asyncio.create_task(self._live())
        self._stack.push_async_callback(self._end)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    # --- what befalls it; each leaves it whole again

    async def kill_gateway(self) -> None:
        await self.gateway.kill()
        await asyncio.sleep(self.random.uniform(0, 2))
        await self.gateway.start()
        await self.gateway.until_runs(START_S)

    async def broker_gone(self) -> None:
        """It ends as on a restart of its machine: what it acknowledged is on its disk, as it promised."""
        await asyncio.to_thread(self.broker.stop)
        await asyncio.sleep(self.random.uniform(3, 6))
        await asyncio.to_thread(self.broker.start)
        self.broker_restarts += 1

    # --- the desk

    async def roll(
        self, number: int, sequence: int, *words: str, status: int = 0, befalls: tuple[Any, ...] = ()
    ) -> str:
        """Rollout `number` to its end, which must have that status; what befalls it meanwhile, at random moments."""
        rings = ("--ring", "canary=T@canary", "--ring", "25%", "--ring", "100%", "--soak", "0")
        await self.desk.ota("rollout", "start", "pico_w", str(sequence), *words, *rings)
        run = self.desk.ota("rollout", "run", str(number), "--interval", "0.5", status=status)
        async with asyncio.timeout(WITHIN_S):
            said, *_ = await asyncio.gather(run, *(self._befall(each) for each in befalls))
        return str(said)

    async def _befall(self, what: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(self.random.uniform(1, 12))
        await what()

    async def tag(self, nodes: list[FieldNode], tag: str) -> None:
        target = " or ".join(node.id.hex() for node in nodes)
        await asyncio.to_thread(ask, self._socket, "nodes.tag", {"target": target, "add": [tag]})

    async def told(self) -> list[dict[str, Any]]:
        """What the gateway knows of updates; nothing while it does not answer."""
        try:
            found: list[dict[str, Any]] = (await asyncio.to_thread(ask, self._socket, "updates.list"))[
                "nodes"
            ]
        except UsageError:
            return []
        return found

    async def until_all(self, true: Callable[[dict[str, Any]], bool]) -> None:
        """Until the gateway says this of each node's update."""
        async with asyncio.timeout(WITHIN_S):
            while len(told := await self.told()) < len(self.nodes) or not all(map(true, told)):
                self._check()
                await asyncio.sleep(0.2)

    # --- what came of it

    def given(self) -> dict[Key, int]:
        """The highest number that each node has given out, by its flash."""
        found: dict[Key, int] = {}
        for node in self.nodes.values():
            outbox = node.outbox()
            for cls, name in enumerate(CLASS_NAMES):
                if outbox.next(cls) > 1:
                    found[node.id.hex(), outbox.stream, name] = outbox.next(cls) - 1
        return found

    async def faults(self, given: dict[Key, int], within_s: float) -> list[str]:
        """What breaks the promise when all that was given has arrived, or the time is over, in words."""
        deadline = time.monotonic() + within_s
        while True:
            with self.subscriber.lock:
                found = self.subscriber.ledger.faults(given)
            if not found or time.monotonic() > deadline:
                return found
            await asyncio.sleep(0.5)

    def starts(self) -> int:
        """Boots of all nodes after the first."""
        return sum(sum(node.starts.values()) - 1 for node in self.nodes.values())

    # --- its life

    @property
    def _socket(self) -> Path:
        return self.gateway.data / "control.sock"

    async def _live(self) -> None:
        while True:
            now = time.monotonic()
            for node in self.nodes.values():
                if node.due <= now:
                    node.step(now)
            await asyncio.sleep(_TICK_S)

    def _check(self) -> None:
        """A node that broke is told of at once."""
        if self._life.done():
            self._life.result()

    async def _end(self) -> None:
        self._life.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._life
