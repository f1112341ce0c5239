"""The file system of a board, over its serial port: the one adapter to mpremote.

Rules: blocking. mpremote's and pyserial's errors become BoardError here. A running app is asked to stop first, as
wire.md 2.5 says.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self

import serial
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

from fieldline_boards.errors import BoardError

_BREAK = b"\r\x03"  # wire.md 2.5
_SILENCE_S = 0.1  # the node wants 20 ms; a USB frame and a loaded host take some more
_PATIENCE_S = 120.0  # without a byte of output
_TO_REPL_AND_RESTART = b"\x02\x04"  # leave the raw REPL, soft reset

# One round trip for all files; a block at a time, as a node has little RAM.
_DIGESTS = """
import binascii, hashlib
def _digest(path):
    try:
        file = open(path, "rb")
    except OSError:
        return
    total = hashlib.sha256()
    while block := file.read(512):
        total.update(block)
    file.close()
    print(path, binascii.hexlify(total.digest()).decode())
for path in {paths}:
    _digest(path)
"""

# A stock RP2 firmware gives all flash to the file system: its own driver takes the raw sectors back from it.
_RESERVE = """
import fieldline_board as board
if board.CHIP == "rp2":
    import rp2
    from fieldline_node.drivers.micropython.reserve import reserve
    regions = [board.FLASH_STATE, board.FLASH_OUTBOX]
    if board.FLASH_UPDATE is not None:
        regions += [board.FLASH_UPDATE] + list(board.FLASH_SLOTS)
    reserve(rp2.Flash(), regions)
"""


class BoardFiles:
    """The files of the board at `port`, whose program is stopped meanwhile. `with` restarts the board at the end."""

    def __init__(self, port: str) -> None:
        self._port = port

    def __enter__(self) -> Self:
        with self._wrapped():
            self._transport = SerialTransport(self._port)
        try:
            with self._wrapped():
                self._transport.serial.write(_BREAK)
                time.sleep(_SILENCE_S)
                self._transport.enter_raw_repl()
        except BoardError:
            self._transport.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        with contextlib.suppress(BoardError) if kind else contextlib.nullcontext(), self._wrapped():
            self._transport.serial.write(_TO_REPL_AND_RESTART)
            self._transport.serial.flush()
            self._transport.close()

    def run(self, code: str) -> str:
        """What `code` prints; BoardError where it raises."""
        with self._wrapped():
            return self._exec(code).decode(errors="replace")

    def digests(self, paths: Iterable[str]) -> dict[str, bytes]:
        """SHA-256 of those of the files that are there."""
        with self._wrapped():
            said = self._exec(_DIGESTS.format(paths=tuple(paths))).decode()
        lines = (line.rsplit(" ", 1) for line in said.splitlines())
        return {path: bytes.fromhex(digest) for path, digest in lines}

    def reserve_flash(self, say: Callable[[str], None]) -> None:
        """Give the node its raw flash, where the chip's firmware leaves it none; takes some 10 s, once."""
        with self._wrapped():
            lines = b""

            def said(data: bytes) -> None:
                nonlocal lines
                *whole, lines = (lines + data).split(b"\n")
                for line in whole:
                    say(line.decode(errors="replace").strip())

            self._exec(_RESERVE, said)

    def write(self, path: str, content: bytes, progress: Callable[[int], None]) -> None:
        """Replace a file in a folder that exists. `progress(bytes)` is called as it goes."""
        with self._wrapped():
            self._transport.fs_writefile(path, content, progress_callback=lambda done, _size: progress(done))

    def make_folder(self, path: str) -> None:
        """Make a folder; nothing where it exists."""
        with self._wrapped():
            if not self._transport.fs_exists(path):
                self._transport.fs_mkdir(path)

    def remove(self, path: str) -> None:
        """Remove a file."""
        with self._wrapped():
            self._transport.fs_rmfile(path)

    def tree(self, folder: str) -> Iterator[str]:
        """Paths of all files under a folder, none where it is missing."""
        with self._wrapped():
            found = self._transport.fs_listdir(folder) if self._transport.fs_exists(folder) else []
            kinds = [(entry.name, bool(entry.st_mode & 0x4000)) for entry in found]
        for name, is_folder in kinds:
            path = f"{folder}/{name}"
            if is_folder:
                yield from self.tree(path)
            else:
                yield path

    def _exec(self, code: str, consumer: Callable[[bytes], None] | None = None) -> bytes:
        """Output of `code`, which may say nothing for long: an emulated chip is slow on a busy machine."""
        said, error = self._transport.exec_raw(code, _PATIENCE_S, consumer)
        if error:
            raise TransportError(error.decode(errors="replace"))
        return bytes(said)

    @contextlib.contextmanager
    def _wrapped(self) -> Iterator[None]:
        try:
            yield
        except (TransportError, serial.SerialException, OSError) as error:
            raise BoardError(
                f"{self._port}: {error}. Is a board with MicroPython on it, nobody else using the port, "
                "and its firmware a development build (others do not stop for a REPL)?"
            ) from None
