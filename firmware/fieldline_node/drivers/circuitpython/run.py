"""Runs the node on this board: the top loop, and what becomes of an exception that reaches it.

The link is the USB data port; where there is a file /mesh.json, it is a Bluetooth mesh, or the board is a bridge to
one and no node, or it waits on air to be taken into one while the port is its link (mesh.py). Where there is a
/bthome.json, others hear the readings too (bthome.py).

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
from fieldline_node.drivers.circuitpython.console import BridgeConsole, Console
from fieldline_node.drivers.circuitpython.flash import FileFlash, open_flash
from fieldline_node.drivers.circuitpython.hardware import Hardware
from fieldline_node.drivers.circuitpython.identity import read_identity
from fieldline_node.drivers.circuitpython.state import State
from fieldline_node.errors import FlashError, IdentityError, StorageError
from fieldline_node.faults import SAFE_PAUSE_MS, Faults
from fieldline_node.links.serial import SerialLink
from fieldline_node.node import make_node
from fieldline_node.optional import load
from fieldline_wire.codes import KEY_REPORT_MS, LOG_ERROR, SENSOR_NODE, const

SYNC_AFTER_MS = const(60000)  # what a power cut may take; each sync wears a slot of the file
REPORT_MS = const(60000)  # the default here: a report is a sync

_PORT = "circuitpython"  # drivers/ of mesh.py and bthome.py
_POLL_MS = const(10)  # what USB brings in this time fits in its buffer of 256 bytes, or waits at the host


def run() -> None:
    """The node, until a person asks for the REPL."""
    mesh = None
    identity = (b"",)  # a bridge is nobody
    try:
        mesh = load("/mesh.json", "mesh", "Mesh", "Bluetooth", _PORT)
    except IdentityError as error:
        print("fieldline: %s. It talks over its cable" % error)
    try:
        if mesh is None or not mesh.is_bridge:
            identity = read_identity()
    except IdentityError as error:
        print("fieldline: %s. Put one on the drive: fieldline node identity" % error)
        return
    hardware = Hardware()
    if not board.DEVELOPMENT:
        hardware.start_watchdog()
    life = _Life(hardware, mesh, identity)
    try:
        life.live()
    finally:
        life.console.close()


class _Life:
    """One run of the node. flash, faults: None until there are any."""

    __slots__ = (
        "_hardware",
        "_identity",
        "_link",
        "_mesh",
        "_radio",
        "_sync_at",
        "_why",
        "cable",
        "console",
        "faults",
        "flash",
    )

    def __init__(self, hardware: Hardware, mesh, identity: tuple) -> None:
        self._hardware = hardware
        self._mesh = mesh
        self._identity = identity
        self._sync_at = 0
        self._why = ""  # why the last sync failed; told when one succeeds, as nothing is sent before
        self.console = Console(self._settle)
        self._link = self.cable = SerialLink(self.console)
        self._radio = None  # what is done on air between the app's steps
        self.flash = None
        self.faults = None
        hardware.before_restart = self._last_words

    def live(self) -> None:
        """Steps the node, or the bridge, until a person asks for the REPL."""
        hardware, mesh = self._hardware, self._mesh
        try:
            self.console.open()
            flash = self._open_flash()
            journal = self._open_journal(flash)
            if mesh is not None and mesh.is_bridge:
                app, self.cable = mesh.bridge(hardware, BridgeConsole(self.console), board.NAME)
                self._link = self.cable
            else:
                app = self._make(flash, journal)
            self._steps(app, flash)
            self._last_words()
        except Exception as error:  # noqa: BLE001 - the top loop
            print_exception(error)
            if not self._stopped(error):
                hardware.restart()

    def _steps(self, app, flash: FileFlash) -> None:
        hardware, cable, radio = self._hardware, self.cable, self._radio
        is_node = self._mesh is None or not self._mesh.is_bridge
        due = 0
        while not self._break_asked():
            now = hardware.now_ms()
            if self._link is cable or now >= due or (radio is not None and radio.stirred):
                due = app.step(now) + hardware.now_ms()
                now = hardware.now_ms()
            wait = due - now
            if radio is not None:
                if self._link is not cable:
                    cable.poll(now)  # where a person may ask for the REPL
                wait = min(wait, radio.work(now))
                if radio.ended:
                    app.restart()  # into another role in its mesh
            if is_node:
                self._keep_up(app, flash, now)
            hardware.poll()
            time.sleep(max(0, min(wait, _POLL_MS)) / 1000)

    def _open_flash(self) -> FileFlash:
        sectors = board.STORE_STATE + board.STORE_OUTBOX
        self.flash = flash = open_flash(board.STORE, board.STORE_SLOTS, sectors, self._hardware.feed)
        return flash

    def _open_journal(self, flash: FileFlash) -> State:
        """The mounted journal."""
        journal = State(flash.region(0, board.STORE_STATE), microcontroller.nvm, flash.sync)
        journal.mount()
        self.faults = Faults(journal)
        self.faults.load()
        return journal

    def _make(self, flash: FileFlash, journal: State) -> App:
        waiting = self._join(journal)
        region = flash.region(board.STORE_STATE, board.STORE_OUTBOX)
        app = make_node(board, self._hardware, self._link, journal, self.faults, region, self._identity)
        app.settings.set_default(SENSOR_NODE, KEY_REPORT_MS, REPORT_MS)
        try:
            app.shown = load(
                "/bthome.json", "bthome", "make_beacon", "Bluetooth", _PORT, waiting or self._link
            )
        except IdentityError as error:
            print("fieldline: %s" % error)
        return app

    def _join(self, journal: State):
        """Makes the mesh, where there is one, the link; what the board does on air beside its cable, or None."""
        mesh, hardware = self._mesh, self._hardware
        if mesh is None:
            return None
        try:
            waiting = mesh.joining(journal, hardware, self._identity[0])
            if waiting is None:
                self._radio = self._link = mesh.link(journal, hardware)
                self._link.before_send = self._settle_first
            else:
                self._radio = waiting
        except IdentityError as error:
            print("fieldline: %s. It talks over its cable" % error)
            return None
        return waiting

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

    def _settle_first(self) -> None:
        """Before a message leaves by the mesh. OSError where what it may speak of is not durable."""
        try:
            self._settle()
        except FlashError as error:
            raise OSError("not durable: %s" % error) from None

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
            self.cable.poll(hardware.now_ms())
            if self._break_asked():
                return True
            time.sleep(_POLL_MS / 1000)
        return False

    def _break_asked(self) -> bool:
        return board.DEVELOPMENT and self.cable.break_asked(self._hardware.now_ms())
