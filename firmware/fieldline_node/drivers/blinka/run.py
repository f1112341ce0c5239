"""Runs the node on this computer: the top loop, and what becomes of an exception that reaches it.

Rules: an exception is kept in the journal and the program begins anew; never is the node left standing. It runs in
a folder of its own: identity.bin, flash.bin, lock. Exit status 0 told to stop, 1 it cannot run.
"""

import fcntl
import os
import select
import signal
import sys
import traceback

import fieldline_board as board  # pyright: ignore[reportMissingImports] - made by `fieldline pins run`

from fieldline_host import systemd
from fieldline_node.drivers.blinka.console import Console
from fieldline_node.drivers.blinka.flash import FileRegion, open_flash
from fieldline_node.drivers.blinka.hardware import Hardware
from fieldline_node.drivers.blinka.identity import read_identity
from fieldline_node.errors import IdentityError, StorageError
from fieldline_node.faults import SAFE_PAUSE_MS, Faults
from fieldline_node.journal import Journal
from fieldline_node.links.serial import SerialLink
from fieldline_node.node import make_node

_FEED_MS = 1000  # the longest wait: the watchdog is to be fed in it


def main(folder: str, port: str) -> int:
    """The node, until SIGTERM or SIGINT; `port`: the path under which a gateway finds it."""
    console = Console(port)
    try:
        lock = _only_one(os.path.join(folder, "lock"))
        identity = read_identity(os.path.join(folder, "identity.bin"))
        flash = open_flash(os.path.join(folder, "flash.bin"), board.STATE_SECTORS + board.OUTBOX_SECTORS)
        console.open()
    except (IdentityError, OSError) as error:
        print("fieldline: error: %s" % error, file=sys.stderr)
        return 1
    try:
        return _Life(Hardware(), console, flash, identity).live()
    finally:
        console.close()
        os.close(flash)
        os.close(lock)


class _Life:
    """One run of the node. `_faults`: None until there are any."""

    def __init__(self, hardware: Hardware, console: Console, flash: int, identity: tuple) -> None:
        self._hardware = hardware
        self._console = console
        self._flash = flash
        self._identity = identity
        self._faults = None
        self._stop = False
        self._wakeup, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._told)
        hardware.before_restart = console.close

    def live(self) -> int:
        """Steps the node until it is told to stop."""
        try:
            app = self._make(SerialLink(self._console))
            systemd.ready()
            while not self._stop:
                self._rest(app.step(self._hardware.now_ms()))
        except Exception as error:  # noqa: BLE001 - the top loop
            traceback.print_exception(error)
            self._recover(error)
        return 0

    def _make(self, link: SerialLink):
        state = board.STATE_SECTORS
        journal = Journal(FileRegion(self._flash, 0, state))
        journal.mount()
        self._faults = Faults(journal)
        self._faults.load()
        outbox = FileRegion(self._flash, state, board.OUTBOX_SECTORS)
        return make_node(board, self._hardware, link, journal, self._faults, outbox, self._identity)

    def _told(self, _number, _frame) -> None:
        self._stop = True

    def _rest(self, wait_ms: int) -> None:
        """Until something came, or so long."""
        select.select([self._console.fd, self._wakeup], [], [], min(wait_ms, _FEED_MS) / 1000)

    def _recover(self, error: Exception) -> None:
        """Keeps what ended this run, waits where it comes again and again, and begins anew."""
        until = self._hardware.now_ms()
        if self._faults is None or self._faults.safe:
            until += SAFE_PAUSE_MS
        if self._faults is not None:
            try:
                self._faults.record(error)
            except StorageError as worse:
                traceback.print_exception(worse)
        while not self._stop and self._hardware.now_ms() < until:
            self._hardware.feed()
            self._rest(_FEED_MS)
        if not self._stop:
            self._hardware.restart()


def _only_one(path: str) -> int:
    """Holds the folder for this process. OSError where another node has it."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise OSError("another node runs in %s: stop it first" % os.path.dirname(path)) from None
    return lock


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
