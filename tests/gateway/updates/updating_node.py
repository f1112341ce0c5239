"""A node that takes updates, as its gateway sees it: the node's own updater (fieldline_wire) over memory as flash.

Rules: what a boot is, and that a release works or crashes, is said by the test (simulated); all that judges offers,
chunks, signatures and digests is the node's own code.
"""

from __future__ import annotations

from typing import Any

from fieldline_wire.messages import Hello
from fieldline_wire.update import codes
from fieldline_wire.update.messages import Abort, Ask, Chunk, Offer, Want
from fieldline_wire.update.root import Roots
from fieldline_wire.update.slots import PAYLOAD_NONE, Record, SlotJournal
from fieldline_wire.update.standing import confirm
from fieldline_wire.update.trust import unpack_trust
from fieldline_wire.update.updater import Updater
from tests.fakes.flash import FakeFlash
from tests.fakes.gateway_node import FakeNode
from tests.fakes.inflate import Inflater

SLOT_SECTORS = 8
TYPES = {each.TYPE: each for each in (Offer, Chunk, Ask, Abort)}


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
        region = FakeFlash(4)
        self._journal = SlotJournal(region)
        self._journal.mount()
        start = (codes.IDLE, 0, codes.SLOT_FILES, 0, 0, codes.NONE, 0, 0, self._random(8), 0, PAYLOAD_NONE)
        self._journal.write(Record(*start, 0, bytes(32), 0, 0, bytes(56), 0, bytes(56), 0, 1))
        self.roots = Roots(region, 2)
        self.roots.load(document)
        slots = [(FakeFlash(1), FakeFlash(SLOT_SECTORS)) for _ in range(2)]
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
