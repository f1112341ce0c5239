"""A SIMULATED board in this process: the node's own code, all of it, over memory as flash and fans that are numbers.

Rules: what is simulated is hardware, a boot and the watchdog; selector, updater, journal, outbox, session and seal
are those of the firmware. What a boot does is said by the image in the slot that the selector chose: one whose text
has "crash" resets at once, one with "hang" stands still soon, until the watchdog resets it.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from fakes.flash import FakeFlash
from fakes.hardware import FakeHardware, Restarted
from node_cases.bench import FAN_PIN, TestedBoard
from update_cases.site import Site

from fieldline_host.ccm import AesCcm
from fieldline_node.faults import Faults
from fieldline_node.journal import Journal
from fieldline_node.links.serial import SerialLink
from fieldline_node.node import make_node
from fieldline_node.outbox import Outbox
from fieldline_node.standby import Standby
from fieldline_wire.codes import RESET_POWER_ON, RESET_SOFT, RESET_WATCHDOG, SLOT_NONE
from fieldline_wire.update import codes
from fieldline_wire.update.standing import status
from tests.system.chain import mounted

STATE_SECTORS = 4
OUTBOX_SECTORS = 16
HANGS_AFTER_S = 1.0
WATCHDOG_S = 2.0
"""A chip's is 8 s: the night is long enough."""
_MOST_CRASHES = 8
"""In a row: the selector ends a trial after three."""


class Board(TestedBoard):
    """The constants of its build."""

    NAME = "pico_w"
    DEVELOPMENT = False


class Stream:
    """The node's end of a line: frames for it, and where its own go."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self.down: deque[bytes] = deque()
        self.write = write

    def read(self) -> bytes:
        return self.down.popleft() if self.down else b""


class _Port:
    """The port of updates (ports.py) over update_cases/site.py."""

    switch = None

    def __init__(self, site: Site) -> None:
        self._site = site
        self.journal = site.journal
        self.slots = site.slots
        self.who = site.who

    def status(self) -> Any:
        return status(self.journal.record, self.slots, self.who, self._site.roots.root.vendor)

    def updater(self, unix: Any, random: Any) -> Any:
        return self._site.make_updater(unix, random)


class _Loader:
    """The loader of updates (ports.py)."""

    def __init__(self, site: Site) -> None:
        self.slot = SLOT_NONE if site.running == codes.SLOT_FILES else site.running
        self.state = site.state
        self._site = site

    def standby(self, app: Any, journal: Any) -> Standby:
        return Standby(self, app, journal)

    def load(self) -> _Port:
        return _Port(self._site)

    def unload(self) -> None:
        """Nothing is to be had by it here."""


class FieldNode:
    """boot() it, then step() it when `due`. `sound`: releases that crash or hang elsewhere work on this one."""

    def __init__(
        self, number: int, trust: Callable[[bytes], bytes], write: Callable[[bytes], object]
    ) -> None:
        self.id = b"\xf1\x4e" + number.to_bytes(6, "big")
        self.key = hashlib.sha256(self.id).digest()[:16]
        self.sound = False
        self.due = 0.0
        """Seconds, of the clock that step() is given."""
        self.starts: Counter[int] = Counter()
        """Boots of each release, by sequence; 0 is the files that it came with."""
        self.stream = Stream(write)
        self._site = Site(trust(self.id), seed=number)
        self._site.node, self._site.abi = self.id, 0x1306
        self._state = FakeFlash(STATE_SECTORS)
        self._flash = FakeFlash(OUTBOX_SECTORS)
        self._number = number
        self._began = 0.0
        self._hangs = False

    def boot(self, now: float, cause: int = RESET_POWER_ON) -> None:
        """As after a reset."""
        for _ in range(_MOST_CRASHES):
            self._site.boot()
            self.starts[self.running] += 1
            text = self._image()
            if self.sound or b"crash" not in text:
                break
        else:
            raise AssertionError(f"{self.id.hex()} crashes for ever: a brick")
        self._hangs = b"hang" in text and not self.sound
        self._began = self.due = now
        self.stream.down.clear()
        self._hardware = FakeHardware(self._number << 16 | sum(self.starts.values()))
        self._hardware.cause = cause
        journal = Journal(self._state)
        journal.mount()
        faults = Faults(journal)
        faults.load()
        faults.trial = self._site.state == codes.TRIAL
        identity = (self.id, 0, AesCcm(self.key))
        link = SerialLink(self.stream)
        updates = _Loader(self._site)
        self._app = make_node(Board, self._hardware, link, journal, faults, self._flash, identity, updates)
        self._hardware.fans[FAN_PIN].spin(5 + self._number % 7)

    def step(self, now: float) -> None:
        """Does what is due."""
        age = now - self._began
        if self._hangs and age >= HANGS_AFTER_S:
            if age >= HANGS_AFTER_S + WATCHDOG_S:
                self.boot(now, RESET_WATCHDOG)
            return
        self._hardware.now = int(1000 * age)
        try:
            wait = self._app.step(self._hardware.now)
        except Restarted:
            self.boot(now, RESET_SOFT)
            return
        self.due = now if self.stream.down else now + wait / 1000

    @property
    def running(self) -> int:
        """Sequence of what this boot runs."""
        slot = self._site.running
        return 0 if slot == codes.SLOT_FILES else int(self._site.journal.record.slot(slot)[0])

    @property
    def confirmed(self) -> int:
        """Sequence of what the next boot runs for good, as its flash says; -1 while something is under way."""
        record = self._site.journal.record
        resting = record.state in (codes.IDLE, codes.CONFIRMED, codes.REVERTED, codes.REFUSED)
        return int(record.slot(record.active)[0]) if resting and record.active != codes.SLOT_FILES else -1

    @property
    def reason(self) -> int:
        return int(self._site.journal.record.reason)

    def outbox(self) -> Outbox:
        """What a mount of its flash finds: nobody's word."""
        return mounted(self._state.data, self._flash.data)

    def _image(self) -> bytes:
        slot = self._site.running
        return (
            b""
            if slot == codes.SLOT_FILES
            else self._site.image(slot, self._site.slots[slot][1].sectors * 4096)
        )
