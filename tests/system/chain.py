"""The whole chain under one hand: emulated boards, gateway, mosquitto, a subscriber; and what can befall it.

Rules: every process is one that a user would start, and is ended by its own id. The gateway runs on a disk that
loses what was not synced (harness: lossy_gateway.py). Misfortunes come from a seeded source, so that a run can be
repeated.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

from fieldline_boards.build import build
from fieldline_boards.catalog import load_board
from fieldline_boards.emulated.vm import VmBoard
from fieldline_boards.identity import make_identity
from fieldline_harness.gateway_process import GatewayProcess
from fieldline_harness.ledger import Key
from fieldline_harness.mosquitto import Mosquitto
from fieldline_harness.subscriber import Subscriber
from fieldline_node.flash import SECTOR
from fieldline_node.journal import Journal
from fieldline_node.outbox import Outbox
from tests.fakes.flash import FakeFlash

ROOT = Path(__file__).resolve().parents[2]
# All that was acknowledged to the gateway is on the broker's disk when it stops, and its queue has no bound.
BROKER = "allow_anonymous true\npersistence true\nmax_queued_messages 0\nmax_inflight_messages 1000"
CLASS_NAMES = ("alarm", "live", "bulk")
LOSSY = (sys.executable, "-m", "fieldline_harness.lossy_gateway")


class Chain:
    """Boards, gateway, broker, subscriber; `async with` starts and stops them."""

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int,
        seed: int,
        sample_ms: int,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.random = Random(seed)
        self._sample_ms = sample_ms
        self.folder = folder
        self.spec = load_board("pico_w")
        build(self.spec, folder / "firmware")
        self.broker = Mosquitto(folder / "broker", BROKER)
        self.boards: dict[bytes, VmBoard] = {}
        keys: dict[bytes, bytes] = {}
        for number in range(1, nodes + 1):
            node = bytes(6) + b"\xfe" + bytes([number])
            keys[node] = secrets.token_bytes(16)
            home = folder / f"board-{number}"
            (home / "files").mkdir(parents=True)
            (home / "files" / "identity.bin").write_bytes(make_identity(node, 0, keys[node]))
            self.boards[node] = VmBoard(self.spec, home, unique_id=node, files=folder / "firmware")
        self._keys = keys
        ports = [board.port for board in self.boards.values()]
        self.gateway = GatewayProcess(
            folder / "gateway",
            f'[gateway]\nname = "judged"\n[serial]\nports = {json.dumps(ports)}\n'
            f'[[sink]]\nkind = "json"\nurl = "mqtt://127.0.0.1:{self.broker.port}"\n',
            command=LOSSY,
            environment=environment,
        )
        self.subscriber = Subscriber(self.broker.port)
        self.counts = dict.fromkeys(("gateway kills", "broker restarts", "cable cuts", "power cuts"), 0)
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Chain:
        self._stack.enter_context(self.broker)
        self.subscriber.connect()
        self._stack.enter_context(self.subscriber)
        self.gateway.enroll(self._keys)
        self.gateway.desire(self._keys, self._sample_ms)
        await self.gateway.start()
        self._stack.push_async_callback(self.gateway.stop)
        for hz, board in enumerate(self.boards.values(), 20):
            await self._stack.enter_async_context(board)
            for sensor in self.spec.sensors:
                if sensor.kind == "tachometer" and sensor.pin is not None:
                    await board.pins.pulse(sensor.pin, hz)
            await board.power.on()
        return self

    async def __aexit__(self, *what: object) -> None:
        await self._stack.aclose()

    # What can befall it. Each leaves the chain whole again.

    async def kill_gateway(self) -> None:
        await self.gateway.kill()
        await asyncio.sleep(self.random.uniform(0, 1))
        await self.gateway.start()
        self.counts["gateway kills"] += 1

    async def restart_broker(self) -> None:
        """The broker is away for a while; the gateway dies once in the middle of it, with readings not forwarded."""
        await asyncio.to_thread(self.broker.stop)
        await asyncio.sleep(self.random.uniform(1, 3))
        await self.kill_gateway()
        await asyncio.sleep(self.random.uniform(0, 2))
        await asyncio.to_thread(self.broker.start)
        self.counts["broker restarts"] += 1

    async def cut_cable(self) -> None:
        board = self.random.choice(list(self.boards.values()))
        await board.unplug()
        await asyncio.sleep(self.random.uniform(0.2, 3))
        await board.plug()
        self.counts["cable cuts"] += 1

    async def cut_power(self) -> None:
        """In the middle of a flash operation, torn."""
        board = self.random.choice(list(self.boards.values()))
        tear = self.random.choice(("before", "half", "random", "almost", "after"))
        await board.power.cut_at(self.random.randint(1, 10), tear)
        await board.power.lost(within_s=60)
        await asyncio.sleep(self.random.uniform(0, 1))
        await board.power.on()
        self.counts["power cuts"] += 1

    async def befall(self, misfortunes: list[Callable[[], Awaitable[None]]], pause_s: float) -> None:
        """All of them, in a random order, with random pauses of `pause_s` in the mean."""
        self.random.shuffle(misfortunes)
        for misfortune in misfortunes:
            await asyncio.sleep(self.random.uniform(0, 2 * pause_s))
            await misfortune()

    # What came of it

    async def accepted(self) -> dict[Key, int]:
        """The highest number that each node has given out, read from its flash with the power off: nobody's word."""
        for board in self.boards.values():
            await board.power.off()
        found: dict[Key, int] = {}
        for node, board in self.boards.items():
            outbox = mounted(await board.flash.read("state"), await board.flash.read("outbox"))
            for cls, name in enumerate(CLASS_NAMES):
                if outbox.next(cls) > 1:
                    found[node.hex(), outbox.stream, name] = outbox.next(cls) - 1
        for board in self.boards.values():
            await board.power.on()
        return found

    async def until_quiet(self, accepted: dict[Key, int], within_s: float) -> None:
        """Until the subscriber has all of `accepted`, or the time is over (the ledger then says what is missing)."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while True:
                    with self.subscriber.lock:
                        if not any("missing" in fault for fault in self.subscriber.ledger.faults(accepted)):
                            return
                    await asyncio.sleep(0.5)

    def readings(self) -> int:
        with self.subscriber.lock:
            return self.subscriber.ledger.count()[0]


def mounted(state: bytes, kept: bytes) -> Outbox:
    """The node's own outbox code over a copy of its flash."""
    journal = Journal(FakeFlash(len(state) // SECTOR, data=state))
    journal.mount()
    outbox = Outbox(FakeFlash(len(kept) // SECTOR, data=kept), journal, lambda: 0)
    outbox.mount()
    return outbox
