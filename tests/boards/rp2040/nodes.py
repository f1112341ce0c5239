"""The node's firmware on an emulated Pico (SIMULATED), with a gateway at its USB cable, and the judge of its flash.

Rules: what a node accepted is read from its flash with the power off, by the node's own outbox: nobody's word. Times
are the board's own. The gateway lives in the host's time: at pace 0 an answer may take emulated seconds.
"""

from __future__ import annotations

import asyncio
import binascii
import os
import struct
import tty
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import serial
from fakes.flash import FakeFlash
from fakes.node_peer import Line, Peer

from fieldline_boards.board import TEARS
from fieldline_boards.build import build
from fieldline_boards.emulated import images
from fieldline_boards.emulated.rp2040 import Rp2040Board
from fieldline_boards.emulated.rp2040.devices import PinDevice
from fieldline_boards.identity import make_identity
from fieldline_boards.install import install
from fieldline_boards.spec import SensorSpec
from fieldline_node.flash import SECTOR
from fieldline_node.journal import Journal
from fieldline_node.lane import Missing, Record
from fieldline_node.outbox import Outbox
from fieldline_wire.codes import (
    ALARM,
    BULK,
    KEY_REJECT_US,
    KEY_SAMPLE_MS,
    KEY_STALL_MS,
    LIVE,
    QTY_SPEED,
)
from fieldline_wire.messages import Config, Hello
from tests.boards.rp2040.picos import KEY, NODE, SPEC, Equipped

LONGEST_S = 300.0  # of the host's time, for what takes ten seconds on a machine that is not busy
CLASSES = (ALARM, LIVE, BULK)
FANS = [sensor for sensor in SPEC.sensors if sensor.kind == "tachometer"]
_STEP_S = 0.003
_BREAK_S = 0.3  # of silence around it; the node wants 20 ms
_NO_STREAM = 1  # given where the flash has none yet
_MAP = b"FLRAW"  # drivers/micropython/reserve.py
_MAP_HEADER = ">5sIH"


class PicoNode:
    """An emulated Pico that runs the node, and the gateway at its port; until() lets them talk."""

    def __init__(self, board: Rp2040Board) -> None:
        self.board = board
        self.line = Line()
        self.peer = Peer(self.line, self._clock)
        self.says = bytearray()  # the last of what came that was no frame, too
        self.plugged = True
        self.opens = 0  # of the port: what came before one is lost
        self._fd = -1
        self._us = 0  # of the board, when it was last asked

    async def until(self, true: Callable[[], object], what: str, within_s: float = LONGEST_S) -> None:
        """Lets node and gateway talk until `true()`; AssertionError where it is not within `within_s`."""
        loop = asyncio.get_running_loop()
        end = loop.time() + within_s
        while not true():
            assert loop.time() < end, (
                f"{what} did not happen; starts {self.board.power.starts}, {self.opens} opens of the port, "
                f"{self.board.cable.dropped} bytes dropped; the board said {bytes(self.says[-500:])!r}"
            )
            self._exchange()
            await asyncio.sleep(_STEP_S)

    async def run(self, seconds: float) -> None:
        """Lets them talk for so many seconds of the board's time, at least."""
        end = await self.us() + int(seconds * 1e6)
        while await self.us() < end:
            await self.until(self._turns(10), "the time")

    async def us(self) -> int:
        """Microseconds since power on."""
        self._us = int((await self.board.power.status())["us"])
        return self._us

    def hello(self) -> Hello:
        """The last one."""
        return self.peer.of(Hello)[-1]

    def values(self, sensor: int) -> list[int]:
        """What a sensor read, by number."""
        return [value for _, number, _, value in self.peer.values(LIVE) if number == sensor]

    async def plug(self, plugged: bool) -> None:
        """Puts the cable in, or pulls it."""
        self.hang_up()
        self.plugged = plugged
        await (self.board.plug() if plugged else self.board.unplug())

    def hang_up(self) -> None:
        """Closes the port."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _turns(self, count: int) -> Callable[[], bool]:
        left = iter(range(count))
        return lambda: next(left, None) is None

    def _clock(self) -> int:
        return self._us // 1000

    def _exchange(self) -> None:
        data = self._read() if self.plugged else b""
        if data:
            self.says += data
            del self.says[:-2000]
            self.line.up.append(data)
        self.peer.step()
        while self.line.down and self._fd >= 0:
            os.write(self._fd, self.line.down.pop(0))

    def _read(self) -> bytes:
        """What came. The port goes away with the power and at resets, and comes back as another one."""
        try:
            if self._fd < 0:
                self._fd = os.open(self.board.port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
                tty.setraw(self._fd)
                self.opens += 1
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self.hang_up()
        return data


async def spin(board: Rp2040Board, hz: float, fans: Sequence[SensorSpec] = FANS) -> None:
    """Fans turn."""
    for fan in fans:
        assert fan.pin is not None
        await board.pins.pulse(fan.pin, hz, open_drain=True)


async def equip(image: Path, folder: Path, more: Mapping[str, bytes] | None = None) -> Equipped:
    """A Pico with the node's firmware, installed as a person installs it: half a minute of work for the chip.

    `more`: files beside the firmware, or in place of its own.
    """
    build(SPEC, folder / "build")
    for path, content in (more or {}).items():
        (folder / "build" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "build" / path).write_bytes(content)
    identity = make_identity(NODE, 0, KEY)
    said: list[str] = []
    async with Rp2040Board(SPEC, folder / "board", image=image, pace=0, instant_flash=True) as board:
        await board.power.on()
        await asyncio.to_thread(
            install, board.port, folder / "build", identity, lambda step: None, said.append
        )
        await board.power.off()
        return Equipped(board.snapshot(), folder / "build", identity, tuple(said))


async def interrupt(board: Rp2040Board) -> None:
    """Ends the node for the REPL, whether it still starts or runs (wire.md 2.5)."""
    with serial.Serial(board.port) as port:
        port.write(b"\r\x03")
        port.flush()
        await asyncio.sleep(_BREAK_S)


@dataclass(slots=True)
class Kept:
    """What a node's flash holds: readings by (class, number), numbers that can't be read, and the ends.

    `stream`: 0 where the node has none yet.
    """

    stream: int
    readings: dict[tuple[int, int], int] = field(default_factory=dict)
    missing: set[tuple[int, int]] = field(default_factory=set)
    next: dict[int, int] = field(default_factory=dict)
    floor: dict[int, int] = field(default_factory=dict)


class RawFlash:
    """The node's raw sectors in the whole flash of a board whose power is off, wherever the file system has them."""

    def __init__(self, board: Rp2040Board) -> None:
        self._chip = bytearray(board.snapshot())
        self._storage = images.described(board.spec.name).storage
        self._blocks = _raw_map(bytes(self._chip))
        self._regions = board.spec.regions
        assert len(self._blocks) == sum(each.length for each in self._regions.values()) // SECTOR

    def outbox(self) -> tuple[FakeFlash, FakeFlash, Outbox]:
        """(state, outbox, what the node's own code makes of them); copies."""
        state, kept = self.region("state"), self.region("outbox")
        journal = Journal(state)
        journal.mount()
        outbox = Outbox(kept, journal, lambda: _NO_STREAM)
        outbox.mount()
        return state, kept, outbox

    def filled(self, count: int) -> bytes:
        """The whole flash with `count` more live readings in the outbox."""
        state, kept, outbox = self.outbox()
        for number in range(count):
            outbox.append(LIVE, Record(0, QTY_SPEED, 0, number, 1, number, 0, False))
        for name, flash in (("state", state), ("outbox", kept)):
            for number, block in enumerate(self._blocks_of(name)):
                at = self._at(block)
                self._chip[at : at + SECTOR] = flash.data[number * SECTOR :][:SECTOR]
        return bytes(self._chip)

    def region(self, name: str) -> FakeFlash:
        """A copy of a region."""
        blocks = self._blocks_of(name)
        return FakeFlash(len(blocks), data=b"".join(self._chip[self._at(each) :][:SECTOR] for each in blocks))

    def _blocks_of(self, name: str) -> tuple[int, ...]:
        base = min(each.start for each in self._regions.values())
        region = self._regions[name]
        first = (region.start - base) // SECTOR
        return self._blocks[first : first + region.length // SECTOR]

    def _at(self, block: int) -> int:
        return self._storage + block * SECTOR


def read_flash(board: Rp2040Board) -> Kept:
    """What the node accepted; the power must be off."""
    _, _, box = RawFlash(board).outbox()
    kept = Kept(box.stream if box.stream != _NO_STREAM else 0)
    for cls in CLASSES:
        kept.next[cls], kept.floor[cls] = box.next(cls), box.floor(cls)
        number = box.floor(cls)
        while number < box.next(cls):
            found = box.peek(cls, number, 24)
            if isinstance(found, Missing):
                kept.missing |= {(cls, each) for each in range(found.first, found.last + 1)}
                number = found.last + 1
                continue
            for record in found:
                kept.readings[cls, number] = record.value
                number += 1
    return kept


def _raw_map(chip: bytes) -> tuple[int, ...]:
    """The blocks of the reservation (docs/adr/0004), in order."""
    found = list(_maps(chip))
    assert found and len(set(found)) == 1, "the flash has no map of its raw sectors, or two that differ"
    return found[0]


def _maps(chip: bytes) -> Iterator[tuple[int, ...]]:
    size = struct.calcsize(_MAP_HEADER)
    at = chip.find(_MAP)
    while at >= 0:
        _, _, count = struct.unpack_from(_MAP_HEADER, chip, at)
        end = at + size + 2 * count
        if end + 4 <= len(chip) and binascii.crc32(chip[at:end]) == int.from_bytes(
            chip[end : end + 4], "big"
        ):
            yield struct.unpack_from(f">{count}H", chip, at + size)
        at = chip.find(_MAP, at + 1)


class Cuts:
    """Power cuts at flash operations, each judged from flash and from what the gateway has. `wrong`: violations."""

    def __init__(self, node: PicoNode, random: Random) -> None:
        self.node = node
        self.cases = 0
        self.wrong: list[str] = []
        self._random = random
        self._accepted: dict[tuple[int, int], int] = {}  # value of each reading that a flash ever had
        self._torn: set[tuple[int, int]] = set()  # numbers whose own write was cut
        self._stream = 0

    async def cut(self, within: int) -> None:
        """Cuts the running node at one of the next `within` operations, judges its flash, starts it again."""
        board = self.node.board
        operation, tear = self._random.randint(1, within), TEARS[self.cases % len(TEARS)]
        await board.power.cut_at(operation, tear)
        await self.node.until(lambda: not board.power.is_on, "the cut")
        await board.power.lost(LONGEST_S)
        self.node.hang_up()
        self.cases += 1
        self._judge(f"cut {self.cases} ({tear})")
        await board.power.on()

    async def settle(self) -> None:
        """Lets the gateway get all that is kept, and judges what it has."""
        peer = self.node.peer
        ends = {cls: max([0, *(number for each, number in self._accepted if each == cls)]) for cls in CLASSES}
        await self.node.until(lambda: all(peer.next(cls) > ends[cls] for cls in CLASSES), "all readings")
        for (cls, number), value in sorted(self._accepted.items()):
            found = peer.readings[cls].get(number)
            if found is None:
                self.wrong.append(f"class {cls}: number {number} was accepted and is reported as a gap")
            elif found[1].value != value:
                self.wrong.append(f"class {cls}: number {number} was {value}, came as {found[1].value}")
        for cls in CLASSES:
            for number in peer.gaps[cls]:
                if (cls, number) not in self._torn:
                    self.wrong.append(f"class {cls}: a gap at {number}, whose write was never cut")
        if self.node.board.power.starts != ["power"] * len(self.node.board.power.starts):
            self.wrong.append(f"the chip restarted by itself: {self.node.board.power.starts}")

    def _judge(self, when: str) -> None:
        peer, kept = self.node.peer, read_flash(self.node.board)
        if self._stream and self._stream != kept.stream:
            self.wrong.append(f"{when}: stream {kept.stream}, it was {self._stream}")
        self._stream = kept.stream or self._stream
        for cls in CLASSES:
            if kept.floor[cls] > peer.next(cls):
                self.wrong.append(f"{when}: class {cls} let go to {kept.floor[cls]}, the gateway has not all")
            if kept.next[cls] < peer.next(cls):
                self.wrong.append(f"{when}: class {cls} goes on at {kept.next[cls]}, numbers come twice")
        for place in kept.missing:
            if place in self._accepted:
                self.wrong.append(f"{when}: {place} was accepted and can't be read")
            self._torn.add(place)
        for place, value in kept.readings.items():
            if self._accepted.setdefault(place, value) != value:
                self.wrong.append(f"{when}: {place} was {self._accepted[place]} and is {value}")


class SwitchedFan(PinDevice):
    """fan-1's tachometer, which stands still and turns again in the board's time, and what the reflex pin does.

    latencies_us: from the moment at which the node could know (still: STALL_MS after the last edge; turning: the
    second edge) to the change of the reflex pin.
    """

    HZ = 100.0
    STALL_MS = 100
    REJECT_US = 5000
    _TURNS_US, _STILL_US = 400_000, 300_000

    def __init__(self) -> None:
        reflex, pin = SPEC.reflex, FANS[0].pin
        assert isinstance(reflex, int) and isinstance(pin, int)
        super().__init__((reflex,))
        self.latencies_us: list[int] = []
        self._pin = pin
        self._stop_at = self._last_edge = self._edges = self._turns = 0
        self._level = 1
        self._due: dict[int, int] = {}  # level of the reflex pin to when it was due

    def attached(self) -> None:
        self._level, self._due = 1, {}
        self._turn()

    def changed(self, pin: int, level: int) -> None:
        due = self._due.pop(level, None)
        if due is not None:
            self.latencies_us.append(self.wiring.us - due)

    def _turn(self) -> None:
        self._turns += 1
        self._edges = 0
        # No two of them meet the node's sample interval at the same place.
        self._stop_at = self.wiring.us + self._TURNS_US + 7919 * (self._turns % 13)
        self._half()

    def _half(self) -> None:
        if self._level and self.wiring.us >= self._stop_at:
            self._due = {1: self._last_edge + 1000 * self.STALL_MS}
            self.wiring.after(self._STILL_US, self._turn)
            return
        self._level = 1 - self._level
        self.wiring.drive(self._pin, None if self._level else 0)
        if not self._level:
            self._last_edge = self.wiring.us
            self._edges += 1
            if self._edges == 2:
                self._due = {0: self.wiring.us}
        self.wiring.after(500_000 / self.HZ, self._half)


async def reflexes(node: PicoNode, fan: SwitchedFan, count: int, within_s: float = LONGEST_S) -> list[int]:
    """`count` latencies of the reflex in us, the node just switched on with a backlog that keeps its link busy."""
    await spin(node.board, 50, FANS[1:])
    number = FANS[0].number
    wanted = [
        (number, KEY_SAMPLE_MS, 50),
        (number, KEY_STALL_MS, fan.STALL_MS),
        (number, KEY_REJECT_US, fan.REJECT_US),
    ]
    await node.until(lambda: node.peer.of(Hello), "a Hello")
    node.peer.send(Config(1, wanted))
    await node.until(lambda: node.peer.of(Config), "the answer to a Config")
    await node.run(1)  # the other fans are known to turn: the pin is this one's
    fan.latencies_us.clear()
    await node.until(lambda: len(fan.latencies_us) >= count, "the reflex", within_s)
    return fan.latencies_us[:count]
