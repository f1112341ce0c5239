"""A pty as the stream under a serial link: a gateway on this computer opens it as any serial port.

Rules: the port has a name that stays the same. Nothing waits here: what nobody reads is refused, and comes again.
"""

import os
import tty

MAX_READ = 4096  # bytes in one step: what a pty holds


class Console:
    """A pty whose other end is linked at `path` while it is open."""

    __slots__ = ("_path", "_slave", "fd")

    def __init__(self, path: str) -> None:
        self._path = path
        self._slave = -1
        self.fd = -1  # to wait on

    def open(self) -> None:
        """Makes the pty and its name. OSError."""
        self.fd, self._slave = os.openpty()  # the other end stays open, or a read between two gateways fails
        tty.setraw(self._slave)
        os.set_blocking(self.fd, False)
        new = self._path + ".new"
        if os.path.lexists(new):
            os.unlink(new)
        os.symlink(os.ttyname(self._slave), new)
        os.replace(new, self._path)

    def close(self) -> None:
        """Takes the name away, and the pty."""
        if self.fd < 0:
            return
        if os.path.lexists(self._path):
            os.unlink(self._path)
        os.close(self.fd)
        os.close(self._slave)
        self.fd = -1

    def read(self) -> bytes:
        """What came, b"" where nothing did."""
        try:
            return os.read(self.fd, MAX_READ)
        except BlockingIOError:
            return b""

    def write(self, data: bytes) -> None:
        """Sends bytes; OSError where nobody reads."""
        if os.write(self.fd, data) != len(data):
            raise OSError("nobody reads the port")
