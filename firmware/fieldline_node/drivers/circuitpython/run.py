"""Runs the node on this board: the top loop, and what becomes of an exception that reaches it.

Rules: an exception is kept in the journal and the chip restarts; never is the node left standing. A development
build stops for a person who asks for the REPL (wire.md 2.5), and has no watchdog, which would end that REPL.
What is kept waits at most SYNC_AFTER_MS for its place in flash; an alarm does not, as the reflex keeps its state
in another sector right after it.
"""

import time
from traceback import print_exception

import fieldline_board as board  # pyright: ignore[reportMissingImports] - made by the build
import microcontroller

from fieldline_node.app import App
from fieldline_node.drivers.circuitpython.console import Console
from fieldline_node.drivers.circuitpython.flash import FileFlash, open_flash
from fieldline_node.drivers.circuitpython.hardware import Hardware
from fieldline_node.drivers.circuitpython.identity import read_identity
from fieldline_node.drivers.circuitpython.state import State
from fieldline_node.errors import FlashError, IdentityError, StorageError
from fieldline_node.faults import SAFE_PAUSE_MS, Faults
from fieldline_node.links.serial import SerialLink
from fieldline_node.node import make_node
from fieldline_wire.codes import KEY_REPORT_MS, LOG_ERROR, SENSOR_NODE, const

SYNC_AFTER_MS = const(60000)  # what a power cut may take; each sync wears a slot of the file
REPORT_MS = const(60000)  # the default here: a report is a sync

_POLL_MS = const(10)  # what USB brings in this time fits in its buffer of 256 bytes, or waits at the host


def run() -> None:
    """The node, until a person asks for the REPL."""
    try:
        identity = read_identity()
    except IdentityError as error:
        print("fieldline: %s. Put one on the drive: fieldline node identity" % error)
        return
    hardware = Hardware()
    if not board.DEVELOPMENT:
        hardware.start_watchdog()
    life = _Life(hardware, identity)
    try:
        life.live()
    finally:
        life.console.close()


class _Life:
    """One run of the node. flash, faults: None until there are any."""

    __slots__ = (
        "_hardware",
        "_identity",
        "_sync_at",
        "_why",
        "console",
        "faults",
        "flash",
        "link",
    )

    def __init__(self, hardware: Hardware, identity: tuple) -> None:
        self._hardware = hardware
        self._identity = identity
        self._sync_at = 0
        self._why = ""  # why the last sync failed; told when one succeeds, as nothing is sent before
        self.console = Console(self._settle)
        self.link = SerialLink(self.console)
        self.flash = None
        self.faults = None
        hardware.before_restart = self._last_words

    def live(self) -> None:
        """Steps the node until a person asks for the REPL."""
        hardware = self._hardware
        try:
            self.console.open()
            flash = self._open_flash()
            app = self._make(flash)
            while not self._break_asked():
                now = hardware.now_ms()
                wait = app.step(now)
                self._keep_up(app, flash, now)
                hardware.poll()
                time.sleep(min(wait, _POLL_MS) / 1000)
            self._last_words()
        except Exception as error:  # noqa: BLE001 - the top loop
            print_exception(error)
            if not self._stopped(error):
                hardware.restart()

    def _open_flash(self) -> FileFlash:
        sectors = board.STORE_STATE + board.STORE_OUTBOX
        self.flash = open_flash(board.STORE, board.STORE_SLOTS, sectors, self._hardware.feed)
        return self.flash

    def _make(self, flash: FileFlash) -> App:
        state, outbox = board.STORE_STATE, board.STORE_OUTBOX
        journal = State(flash.region(0, state), microcontroller.nvm, flash.sync)
        journal.mount()
        self.faults = Faults(journal)
        self.faults.load()
        region = flash.region(state, outbox)
        app = make_node(board, self._hardware, self.link, journal, self.faults, region, self._identity)
        app.settings.set_default(SENSOR_NODE, KEY_REPORT_MS, REPORT_MS)
        return app

    def _keep_up(self, app: App, flash: FileFlash, now: int) -> None:
        """Makes durable what is due for it."""
        if not flash.waiting:
            self._sync_at = now + SYNC_AFTER_MS
        if now >= self._sync_at:
            self._sync_at = now + SYNC_AFTER_MS
            try:
                flash.sync()
            except FlashError as error:
                self._why = str(error)
            else:
                if self._why:
                    app.log.add(now, LOG_ERROR, "nothing was durable for a while: " + self._why)
                self._why = ""

    def _settle(self) -> None:
        if self.flash is not None:
            self.flash.sync()

    def _last_words(self) -> None:
        """What waits goes to flash, if it can."""
        try:
            self._settle()
        except FlashError as error:
            print_exception(error)

    def _stopped(self, error: Exception) -> bool:
        """Keeps what ended this run and waits where it comes again and again; whether the REPL was asked for."""
        hardware = self._hardware
        until = hardware.now_ms()
        if self.faults is None or self.faults.safe:
            until += SAFE_PAUSE_MS
        if self.faults is not None:
            try:
                self.faults.record(error)
            except StorageError as worse:
                print_exception(worse)
        while hardware.now_ms() < until:
            hardware.feed()
            self.link.poll(hardware.now_ms())
            if self._break_asked():
                return True
            time.sleep(_POLL_MS / 1000)
        return False

    def _break_asked(self) -> bool:
        return board.DEVELOPMENT and self.link.break_asked(self._hardware.now_ms())
