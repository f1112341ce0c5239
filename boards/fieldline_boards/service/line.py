"""A node's line in a tool's hand: what it says, in order, and what is said to it.

Rules: every wait has an end, and names what was waited for. A number is never acknowledged here.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self, TypeVar

from fieldline_boards.errors import BoardError
from fieldline_boards.service.peer import Heard, Message, Peer
from fieldline_boards.service.port import Listener, SerialPort
from fieldline_boards.service.turn import begin
from fieldline_wire.messages import ACK_UNKNOWN_STREAM, Ack, Config, Gap, Hello, Report
from fieldline_wire.serial import DELIMITER

T = TypeVar("T")

HELLO_S = 45.0
"""A node that hears nobody says Hello every 16 to 20 s (wire.md 6.3)."""
ANSWER_S = 10.0
"""What a node answers, it answers within a step of its app."""
_TRIES = 3
_LONGEST_S = 3600.0  # that a queue can wait at once


class NodeLine:
    """The node at `port`, whose key is `key` (None: only the headers can be read). `with` opens and closes it.

    `seen(bytes)` gets all that the port brings, in another thread.
    """

    def __init__(self, port: str, key: bytes | None, seen: Callable[[bytes], None] | None = None) -> None:
        self._peer = Peer(key, begin(time.time_ns() // 1_000_000))
        self._port = SerialPort(port)
        self._came: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        self._port.listen(Listener(self._received, self._peer.opened))
        if seen is not None:
            self._port.listen(Listener(seen))

    @property
    def wrong_key(self) -> int:
        """Uplinks that the key does not open."""
        return self._peer.wrong_key

    def __enter__(self) -> Self:
        """BoardError where the port cannot be opened."""
        self._port.open()
        self._port.write(DELIMITER)  # ends whatever stood on the line; wire.md 2.1
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._port.close()

    def type(self, keys: bytes) -> None:
        """Bytes as a terminal sends them."""
        self._port.write(keys)

    def heard(self, within_s: float) -> Iterator[Heard]:
        """What the node says in the next `within_s` seconds, as it comes."""
        end = time.monotonic() + within_s
        while (left := end - time.monotonic()) > 0:
            try:
                yield self._came.get(timeout=min(left, _LONGEST_S))
            except queue.Empty:
                continue

    def check(self, heard: Heard) -> None:
        """BoardError where the key does not open what was heard."""
        if heard.message is None:
            node = heard.header.node.hex()
            raise BoardError(
                f"node {node} speaks, under another key than the one given: is this its key file?"
            )

    def wait(self, what: str, pick: Callable[[object], T | None], within_s: float = ANSWER_S) -> T:
        """The first message that `pick` takes (gives other than None); BoardError names `what` where none came, or
        the node speaks under another key."""
        for heard in self.heard(within_s):
            self.check(heard)
            found = pick(heard.message)
            if found is not None:
                return found
        raise BoardError(f"{what} did not come within {within_s:.0f} s; {self._advice()}")

    def send(self, message: Message) -> None:
        """Seal and send a message to the boot that was heard last; BoardError where none was."""
        self._port.write(self._peer.frame(message))

    def hello(self, within_s: float = HELLO_S) -> Hello:
        """A Hello of the node; one that is in talk with a gateway that went away is asked for it."""

        def pick(message: object) -> Hello | None:
            if isinstance(message, Report | Gap):
                self.send(Ack(message.cls, message.stream, 0, ACK_UNKNOWN_STREAM))  # wire.md 5.10: says Hello
            return message if isinstance(message, Hello) else None

        return self.wait("a Hello", pick, within_s)

    def next_boot(self, within_s: float = HELLO_S) -> Hello:
        """The first Hello of the boot after the one that was heard last; BoardError where none comes."""
        before = -1 if self._peer.last is None else self._peer.last.epoch
        for heard in self.heard(within_s):
            if isinstance(heard.message, Hello) and heard.header.epoch > before:
                return heard.message
        raise BoardError(f"the node did not restart within {within_s:.0f} s; {self._advice()}")

    def settings(self) -> Config:
        """The settings in force. Version 0 asks and changes nothing (wire.md 5.11)."""
        return self.answer(Config(0), "the node's settings", _reported)

    def answer(self, message: Message, what: str, pick: Callable[[object], T | None]) -> T:
        """What `pick` takes of what comes after `message` was sent; sent again where nothing does."""
        for left in range(_TRIES - 1, -1, -1):
            self.send(message)
            try:
                return self.wait(what, pick)
            except BoardError:
                if not left:
                    raise
        raise AssertionError

    def _received(self, data: bytes) -> None:
        for heard in self._peer.feed(time.monotonic_ns() // 1_000_000, data):
            self._came.put(heard)

    def _advice(self) -> str:
        if self._peer.last is None:
            return "nothing was heard: does a node's firmware run there? Ask: fieldline node doctor"
        return (
            "it speaks and takes nothing from here: was a tool with a clock that is ahead of this one's at work? "
            "Restart the node"
        )


def _reported(message: object) -> Config | None:
    return message if isinstance(message, Config) and message.reported else None
