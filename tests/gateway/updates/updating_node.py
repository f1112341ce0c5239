"""A node that takes updates, as its gateway sees it: the node's own updater (fieldline_wire) over memory as flash.

Rules: what a boot is, and that a release works or crashes, is said by the test (simulated); all that judges offers,
chunks, signatures and digests is the node's own code.
"""

from __future__ import annotations

import zlib
from typing import Any

from fieldline_wire.errors import Refused
from fieldline_wire.messages import Hello
from fieldline_wire.update import codes
from fieldline_wire.update.messages import Abort, Ask, Chunk, Offer, Want
from fieldline_wire.update.root import Roots
from fieldline_wire.update.slots import PAYLOAD_NONE, Record, SlotJournal
from fieldline_wire.update.standing import confirm
from fieldline_wire.update.trust import unpack_trust
from fieldline_wire.update.updater import Updater
from tests.fakes.gateway_node import FakeNode

SLOT_SECTORS = 8
TYPES = {each.TYPE: each for each in (Offer, Chunk, Ask, Abort)}


class Memory:
    """A region of flash: a program takes bits from 1 to 0."""

    sector_size = codes.SECTOR

    def __init__(self, sectors: int) -> None:
        self.sectors = sectors
        self._data = bytearray(b"\xff" * (sectors * codes.SECTOR))

    def readinto(self, at: int, buffer: Any) -> None:
        buffer[:] = self._data[at : at + len(buffer)]

    def program(self, at: int, data: bytes) -> None:
        for i, byte in enumerate(data):
            self._data[at + i] &= byte

    def erase(self, sector: int) -> None:
        self._data[sector * codes.SECTOR : (sector + 1) * codes.SECTOR] = b"\xff" * codes.SECTOR


class Inflater:
    """The inflater port of wire's delta.py."""

    def __init__(self, read: Any, size: int, bits: int) -> None:
        self._rest = read(0, size)
        self._unpacker = zlib.decompressobj(-bits)

    def read(self, count: int) -> bytes:
        try:
            found = self._unpacker.decompress(self._rest, count)
        except zlib.error:
            raise Refused(codes.DELTA_MALFORMED, "not deflated bytes") from None
        self._rest = self._unpacker.unconsumed_tail
        return found


class _Who:
    def __init__(self, node: bytes, token_key: bytes, board: str) -> None:
        self.node = node
        self.token_key = token_key
        self.board = board
        self.component = 0
        self.abi = 0x1306  # version 6.3, an architecture of its own


class UpdatingNode(FakeNode):
    """`crashes`: sequences that never confirm. `unix`: its clock."""

    def __init__(self, number: int, trust: bytes, *, unix: int, board: str = "pico_w") -> None:
        super().__init__(number)
        self.crashes: set[int] = set()
        self.lost = 0
        self.chunks = 0
        token_key, document = unpack_trust(trust)
        region = Memory(4)
        self._journal = SlotJournal(region)
        self._journal.mount()
        start = (codes.IDLE, 0, codes.SLOT_FILES, 0, 0, codes.NONE, 0, 0, self._random(8), 0, PAYLOAD_NONE)
        self._journal.write(Record(*start, 0, bytes(32), 0, 0, bytes(56), 0, bytes(56), 0, 1))
        self.roots = Roots(region, 2)
        self.roots.load(document)
        slots = [(Memory(1), Memory(SLOT_SECTORS)) for _ in range(2)]
        self.updater = Updater(
            _Who(self.id, token_key, board), self._journal, self.roots, slots, self._random, lambda: unix, Inflater
        )  # fmt: skip
        self.updater.load()

    def status(self) -> Any:
        return self.updater.status()

    def say_hello(self) -> bytes:
        """As after a start."""
        return self.seal(Hello(self.stream, classes=[(0, 1, 1), (1, 1, 1), (2, 1, 1)]).to_bytes())

    def hear(self, payload: bytes) -> list[bytes]:  # type: ignore[override]
        """What it answers to a message of updates, sealed."""
        kind = TYPES.get(payload[0])
        if kind is None:
            return []
        message = kind.from_bytes(payload)
        before = self._journal.record.number
        told = False
        if isinstance(message, Offer):
            self.updater.offer(message)
            told = True
        elif isinstance(message, Chunk):
            self.chunks += 1
            self.updater.chunk(message.object, message.index, message.data)
        elif isinstance(message, Ask):
            told = message.number != before
        else:
            self.updater.abort()
        while self.updater.work():
            pass
        self._boot()
        changed = told or self._journal.record.number != before
        said = [self.seal(self.updater.status().to_bytes())] if changed else []
        if not self.updater.waiting() and (want := self.updater.want(8)) is not None:
            said.append(self.seal(Want.to_bytes(want)))
        return said

    def ask_again(self) -> list[bytes]:
        """As when nothing came for its Want."""
        want = self.updater.want(8)
        return [] if want is None else [self.seal(Want.to_bytes(want))]

    def _boot(self) -> None:
        """What the selector and the self-test make of a release that waits for its start."""
        record = self._journal.record
        if record.state != codes.PENDING:
            return
        for tries in range(1, codes.TRIES + 1):
            self._journal.change("boot", tries=tries)
            if record.sequence not in self.crashes:
                confirm(self._journal)
                return
        self._journal.change("used up", reason=codes.TRIES_USED)

    def _random(self, count: int) -> bytes:
        """Of the test: a counter."""
        self._draws = getattr(self, "_draws", 0) + 1
        return (self.id[-1] << 32 | self._draws).to_bytes(count, "big")
