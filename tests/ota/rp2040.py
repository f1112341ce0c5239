"""Updates on an emulated Pico (SIMULATED) with a real MicroPython image, cut at flash operations and judged.

Rules: the chip runs the node's own selector, updater and outbox (rp2040_main.py); who judges reads the flash with the
power off. A node goes from release to release; where none is left it gets its first flash back.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random

from fieldline_boards.board import TEARS
from fieldline_boards.boardfiles import BoardFiles
from fieldline_boards.emulated.rp2040 import Rp2040Board
from fieldline_node.lane import Missing
from fieldline_ota.release import Release
from fieldline_ota.romfs import build_image
from fieldline_wire.codes import LIVE
from fieldline_wire.update.boot import choose, slot_sound
from fieldline_wire.update.codes import SLOT_FILES, TRIAL
from fieldline_wire.update.slots import SlotJournal
from fieldline_wire.update.trust import pack_trust
from tests.boards.rp2040.nodes import PicoNode, RawFlash
from tests.boards.rp2040.picos import SPEC
from tests.ota import material

MAIN = Path(__file__).with_name("rp2040_main.py")
ABI = 0x0306
LONGEST_S = 240.0
MANY = 200
WITHIN = 60  # flash operations: about an update
LAST = 14  # releases: the first full, the others deltas; each fourth crashes


def good(sequence: int) -> bool:
    """Whether a release passes its self-test."""
    return sequence % 4 != 3


def image(sequence: int) -> bytes:
    same = Random(5).randbytes(4200)
    files = {f"app/part{i}.mpy": same[i * 700 : i * 700 + 700] for i in range(6)}
    files["slotname.py"] = f"SEQUENCE = {sequence}\nGOOD = {good(sequence)}\n".encode()
    return build_image(files)


def releases(last: int = LAST) -> dict[int, Release]:
    """By sequence, 1 to `last`; deltas from the last good one."""
    made: dict[int, Release] = {}
    base: tuple[bytes, ...] = ()
    for sequence in range(1, last + 1):
        content = image(sequence)
        made[sequence] = material.release(content, sequence, base, board="pico", abi=ABI)
        if good(sequence):
            base = (content,)
    return made


def files(made: Mapping[int, Release]) -> dict[str, bytes]:
    """What the chip's main.py reads, and itself."""
    found = {
        "main.py": MAIN.read_bytes(),
        "trust.bin": pack_trust(material.TOKEN_KEY, material.root().to_bytes()),
        "releases.json": json.dumps(
            {
                "sizes": {str(key): len(each.envelope) for key, each in made.items()},
                "digests": {str(key): each.digest.hex() for key, each in made.items()},
                "by digest": {each.digest.hex(): str(key) for key, each in made.items()},
            }
        ).encode(),
    }
    for sequence, each in made.items():
        found[f"releases/{sequence}.0"] = each.envelope
        number = len(each.payloads) - 1
        found[f"releases/{sequence}.{16 + number}"] = each.payloads[number]
    return found


class Cuts:
    """Power cuts in updates; `wrong`: violations. The power is off; `first`: the flash to begin with."""

    def __init__(self, node: PicoNode, first: bytes, random: Random) -> None:
        self.node = node
        # The firmware, once it is installed, may have stored readings of its own before main.py was replaced.
        self._own = RawFlash(node.board).outbox()[2].next(LIVE)
        self.first = first
        self.cases = 0
        self.wrong: list[str] = []
        self.confirmed: set[int] = set()
        self.reverted = 0
        self._random = random
        self._readings: set[int] = set()  # numbers that a flash ever had
        self._end = self._own
        self._floor = 0

    async def cut(self, within: int) -> None:
        """Cuts the running chip at one of the next `within` operations, judges its flash, starts it again."""
        board = self.node.board
        operation, tear = self._random.randint(1, within), TEARS[self.cases % len(TEARS)]
        await board.power.cut_at(operation, tear)
        await self.node.until(
            lambda: not board.power.is_on or b"all done" in self.node.says[-400:], "the cut", LONGEST_S
        )
        if board.power.is_on:
            await board.power.off()
            self.node.hang_up()
            self._judge(f"the end of the releases, after cut {self.cases}")
            await board.restore(self.first)
            self._readings, self._end, self._floor = set(), self._own, 0
        else:
            await board.power.lost(LONGEST_S)
            self.node.hang_up()
            self.cases += 1
            self._judge(f"cut {self.cases} ({tear}, operation {operation})")
        self.node.says.clear()
        await board.power.on()

    def _judge(self, when: str) -> None:
        raw = RawFlash(self.node.board)
        _, _, outbox = raw.outbox()
        end = outbox.next(LIVE)
        if end < self._end:
            self.wrong.append(f"{when}: the next number is {end}, it was {self._end}")
        self._end = end
        for number in range(self._own, end):
            found = outbox.peek(LIVE, number, 1)
            if isinstance(found, Missing):
                if number in self._readings:
                    self.wrong.append(f"{when}: reading {number} is lost")
            elif found[0].value != number:
                self.wrong.append(f"{when}: reading {number} says {found[0].value}")
            else:
                self._readings.add(number)
        region = raw.region("update")
        journal = SlotJournal(region)
        journal.mount()
        slots = [(each, each) for each in (raw.region("slot_a"), raw.region("slot_b"))]
        parts = [(head.part(0, 1), whole.part(1, whole.sectors - 1)) for head, whole in slots]
        slot = choose(journal, lambda number, sequence, key: slot_sound(*parts[number], sequence, key))
        record = journal.record
        if record is None:
            return
        if record.floor and slot == SLOT_FILES:
            self.wrong.append(f"{when}: no slot runs, and {record.floor} was confirmed")
        if slot != SLOT_FILES:
            sequence = record.slot(slot)[0]
            wanted = image(sequence)
            if bytes(raw.region(f"slot_{'ab'[slot]}").data[4096 : 4096 + len(wanted)]) != wanted:
                self.wrong.append(f"{when}: slot {slot} would run and holds no release")
            if not good(sequence) and record.state != TRIAL:
                self.wrong.append(f"{when}: release {sequence} runs, which crashes")
        if record.floor < self._floor or (record.floor and not good(record.floor)):
            self.wrong.append(f"{when}: the floor is {record.floor}, it was {self._floor}")
        self._floor = record.floor
        self.confirmed.add(record.floor)
        self.reverted += record.state == 7


def put(port: str, content: Mapping[str, bytes]) -> None:
    with BoardFiles(port) as board:
        if any(path.startswith("releases/") for path in content):
            board.make_folder("releases")
        for path in sorted(content, key=lambda path: path == "main.py"):  # which is to start last
            board.write(path, content[path], lambda done: None)


async def cut(
    picture: Path, flash: bytes, folder: Path, count: int = MANY, seed: int = 7, last: int = LAST
) -> Cuts:
    """Cuts one chip that has the firmware in its `flash` and the releases up to `last`; says how far it is."""
    async with Rp2040Board(SPEC, folder / "board", image=picture, pace=0, instant_flash=True) as board:
        await board.restore(flash)
        await board.power.on()
        await asyncio.to_thread(put, board.port, files(releases(last)))
        await board.power.off()
        first = board.snapshot()
        await board.power.on()
        cuts = Cuts(PicoNode(board), first, Random(seed))
        begin = time.monotonic()
        while cuts.cases < count:
            await cuts.cut(WITHIN)
            print(
                f"{time.monotonic() - begin:.0f} s: {cuts.cases} of {count} cuts, wrong: {cuts.wrong}",
                file=sys.stderr,
                flush=True,
            )
        return cuts
