"""What a board says on its serial port, waited for as pytest-embedded's `dut` does it.

Rules: bytes; what an expect() found is used up, so the next looks behind it. A wait that ends says what it waited
for and shows the last lines.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

from fieldline_boards.service.port import Listener, SerialPort

LINES_SHOWN = 12
_KEPT = 1 << 20
"""Bytes: a board that talks all day does not fill the host's memory."""


class ExpectError(AssertionError):
    """What was waited for did not come."""


class Console:
    """The console of the board at `port`; whoever else listens there gets the same bytes."""

    def __init__(self, port: SerialPort, patience_s: float) -> None:
        self._port = port
        self._patience_s = patience_s
        self._said = bytearray()
        self._used = 0  # bytes of it that an expect() has behind it
        self._news = threading.Condition()
        self._leave = port.listen(Listener(self._received))

    def close(self) -> None:
        """Listen no more."""
        self._leave()

    def listen(self, received: Callable[[bytes], None]) -> Callable[[], None]:
        """Call `received` with what comes from now on; the function that ends it."""
        return self._port.listen(Listener(received))

    def write(self, data: str | bytes) -> None:
        """Bytes to the board; text as UTF-8. A port that went away at a reset is waited for."""
        self._port.write(data.encode() if isinstance(data, str) else data, self._patience_s)

    def expect(
        self, pattern: str | bytes | re.Pattern[bytes], timeout: float | None = None
    ) -> re.Match[bytes]:
        """The first match of a regular expression behind the last one; ExpectError after `timeout` seconds."""
        if isinstance(pattern, str):
            pattern = pattern.encode()
        regex = re.compile(pattern)
        return self._wait(regex, f"{regex.pattern!r}", timeout)

    def expect_exact(self, text: str | bytes, timeout: float | None = None) -> re.Match[bytes]:
        """As expect(), for the text itself."""
        data = text.encode() if isinstance(text, str) else text
        return self._wait(re.compile(re.escape(data)), f"{data!r}", timeout)

    def lines(self, count: int = LINES_SHOWN) -> list[str]:
        """The last lines that the board said."""
        with self._news:
            text = bytes(self._said[-200 * count :]).decode(errors="backslashreplace")
        return text.splitlines()[-count:]

    def _wait(self, regex: re.Pattern[bytes], what: str, timeout: float | None) -> re.Match[bytes]:
        patience_s = self._patience_s if timeout is None else timeout
        end = time.monotonic() + patience_s
        with self._news:
            while True:
                found = regex.search(bytes(self._said), self._used)
                if found:
                    self._used = found.end()
                    return found
                left = end - time.monotonic()
                if left <= 0:
                    break
                self._news.wait(left)
        shown = "\n".join(f"  | {line}" for line in self.lines()) or "  (nothing)"
        raise ExpectError(f"{what} did not come within {patience_s:g} s. The console's last lines:\n{shown}")

    def _received(self, data: bytes) -> None:
        with self._news:
            self._said += data
            over = len(self._said) - _KEPT
            if over > 0:
                del self._said[:over]
                self._used = max(0, self._used - over)
            self._news.notify_all()
