"""A node in the hands of a test: Fieldline's firmware on the board, and a gateway at its port.

Rules: the gateway answers as wire.md 6.4 says, in the port's thread, unless it is told to be silent. What a test
asks for it waits for; where it does not come, the error shows what the node said last.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from fieldline_boards.errors import BoardError
from fieldline_boards.service.config import next_version
from fieldline_boards.service.peer import Heard, Message, Peer
from fieldline_boards.service.port import Listener, SerialPort
from fieldline_boards.service.settings import REASONS, SettingNames, desired
from fieldline_boards.service.turn import begin
from fieldline_boards.spec import BoardSpec
from fieldline_boards.testing.console import ExpectError
from fieldline_boards.testing.ledger import Ledger, Lost, Reading
from fieldline_wire import codes
from fieldline_wire.messages import Command, Config, Gap, Hello, Log, Report, Result, TimeSync

T = TypeVar("T")
A = TypeVar("A", Config, Result)
_SHOWN = 8
_ASK_S = 2.0
"""How often a question is asked again: an answer may be lost with the power."""


class NodeUnderTest:
    """The node on `port`, whose key is `key`. `hellos`, `logs`: what it said of itself, oldest first."""

    def __init__(self, spec: BoardSpec, port: SerialPort, key: bytes, patience_s: float) -> None:
        self.spec = spec
        self.hellos: list[Hello] = []
        self.logs: list[Log] = []
        self._peer = Peer(key, begin(time.time_ns() // 1_000_000))
        self._ledger = Ledger(SettingNames(spec))
        self._answers: list[Config | Result] = []
        self._said: list[str] = []
        self._silent = False
        self._hello_boot = 0
        self._patience_s = patience_s
        self._port = port
        self._news = threading.Condition()
        self._leave = port.listen(Listener(self._received, self._peer.opened))

    def close(self) -> None:
        """Listen no more."""
        self._leave()

    @property
    def boot(self) -> int:
        """The node's boot count, as it was heard last; 0 before anything was heard."""
        return 0 if self._peer.last is None else self._peer.last.epoch

    def hello(self, within_s: float | None = None) -> Hello:
        """A Hello of this boot, asked for where there is none yet."""
        return self.wait("a Hello", lambda: self.hellos[-1] if self.hellos else None, within_s)

    def next_boot(self, after: int, within_s: float | None = None) -> Hello:
        """The first Hello of a boot after number `after`."""
        return self.wait(
            f"a Hello of a boot after {after}",
            lambda: self.hellos[-1] if self._hello_boot > after else None,
            within_s,
        )

    def readings(self, sensor: str | None = None, cls: str | None = None) -> list[Reading]:
        """What came so far, oldest first."""
        with self._news:
            return [
                each for each in self._ledger.readings
                if sensor in (None, each.sensor) and cls in (None, each.cls)
            ]  # fmt: skip

    def gaps(self) -> list[Lost]:
        """Numbers that the node said will not come."""
        with self._news:
            return list(self._ledger.lost)

    def reading(
        self,
        sensor: str,
        where: Callable[[Reading], bool] = lambda reading: True,
        *,
        cls: str = "live",
        after: int = 0,
        within_s: float | None = None,
    ) -> Reading:
        """The first reading of `sensor` with a number above `after` that `where` takes."""
        names = [each.name for each in self.spec.sensors]
        if sensor not in names:
            raise BoardError(f"{self.spec.name} has no sensor '{sensor}'; it has {', '.join(names)}")

        def found() -> Reading | None:
            came = self.readings(sensor, cls)
            return next((each for each in came if each.number > after and where(each)), None)

        return self.wait(f"a {cls} reading of {sensor}", found, within_s)

    def alarm(self, sensor: str, cause: str, *, after: int = 0, within_s: float | None = None) -> Reading:
        """The alarm of `sensor` that raises `cause` ("stall", "over limit", ...) with a number above `after`."""
        return self.reading(
            sensor, lambda reading: reading.raised == cause, cls="alarm", after=after, within_s=within_s
        )

    def last_number(self, cls: str = "live") -> int:
        """The highest number that came; 0 where none did."""
        return max((each.number for each in self.readings(cls=cls)), default=0)

    def all_delivered(self, within_s: float | None = None) -> None:
        """Wait until every number that the node had given out when this was called came, as a reading or as a gap."""
        before = len(self.hellos)
        self.command(codes.CMD_HELLO)
        self.wait("a fresh Hello", lambda: len(self.hellos) > before or None, within_s)
        with self._news:
            owed = {(cls, number) for cls, numbers in self._ledger.missing().items() for number in numbers}

        def none_left() -> bool | None:
            left = self._ledger.missing()
            return not any(number in left.get(cls, ()) for cls, number in owed) or None

        self.wait(f"numbers {sorted(owed)} that the node had given out", none_left, within_s)

    def configure(self, settings: Mapping[str, int | str]) -> None:
        """Set settings by name: {"node.sample_ms": 100, "fan-1.over": "off"}; BoardError names a refused one."""
        changes = [self._ledger.names.parse(f"{name}={value}") for name, value in settings.items()]
        now = self._ask(Config(0), Config, lambda each: each.reported, "the node's settings")
        wanted = desired(self._ledger.names, now, changes, next_version(now.version))
        told = self._ask(
            wanted,
            Config,
            lambda each: each.version == wanted.version or each.refused is not None,
            "the node's answer to its settings",
        )
        if told.refused is not None:
            sensor, key, why = told.refused
            name = self._ledger.names.name((sensor, key))
            raise BoardError(f"the node refused {name}: {REASONS.get(why, why)}")

    def command(self, code: int, argument: bytes = b"") -> Result:
        """Have the node carry out a command (codes.CMD_*); its result."""
        command = Command(secrets.randbits(32), code, argument)
        return self._ask(command, Result, lambda each: each.id == command.id, f"the result of command {code}")

    @contextmanager
    def no_gateway(self) -> Iterator[None]:
        """Answer nothing meanwhile: the node keeps its readings."""
        self._silent = True
        try:
            yield
        finally:
            self._silent = False

    def wait(self, what: str, found: Callable[[], T | None], within_s: float | None = None) -> T:
        """What `found` gives once it is not None; ExpectError names `what` and shows what the node said last."""
        patience_s = self._patience_s if within_s is None else within_s
        end = time.monotonic() + patience_s
        with self._news:
            while (value := found()) is None:
                left = end - time.monotonic()
                if left <= 0:
                    break
                self._news.wait(left)
            else:
                return value
            shown = "\n".join(f"  | {line}" for line in self._said[-_SHOWN:]) or "  (nothing)"
        key = f" {self._peer.wrong_key} messages were under another key." if self._peer.wrong_key else ""
        raise ExpectError(f"{what} did not come within {patience_s:g} s.{key} The node said last:\n{shown}")

    def _ask(self, message: Message, kind: type[A], takes: Callable[[A], bool], what: str) -> A:
        """The first answer of a kind, of those from now on, that `takes` takes."""
        self.hello()
        with self._news:
            seen = len(self._answers)
        end = time.monotonic() + self._patience_s

        def answered() -> A | None:
            for each in self._answers[seen:]:
                if isinstance(each, kind) and takes(each):
                    return each
            return None

        while True:
            self._send(message)
            left = min(_ASK_S, end - time.monotonic())
            try:
                return self.wait(what, answered, max(0, left))
            except ExpectError:
                if time.monotonic() >= end:
                    raise

    def _received(self, data: bytes) -> None:
        with self._news:
            for heard in self._peer.feed(time.monotonic_ns() // 1_000_000, data):
                self._keep(heard)
            self._news.notify_all()

    def _keep(self, heard: Heard) -> None:
        message = heard.message
        self._said = [*self._said[-2 * _SHOWN :], f"boot {heard.header.epoch}: {message!r}"[:300]]
        if self._silent or message is None:
            return
        if isinstance(message, Hello):
            self.hellos.append(message)
            self._hello_boot = heard.header.epoch
            if message.flags & codes.HELLO_WANTS_TIME:
                self._tell_time(message.uptime * 1000)
            for ack in self._ledger.hello(message):
                self._send(ack)
        elif isinstance(message, Report) and message.stream == self._ledger.stream:
            self._send(self._ledger.report(message))
        elif isinstance(message, Gap) and message.stream == self._ledger.stream:
            self._send(self._ledger.gap(message))
        elif isinstance(message, TimeSync):
            self._tell_time(message.uptime_ms)
        elif isinstance(message, Log):
            self.logs.append(message)
        elif isinstance(message, Config | Result):
            self._answers.append(message)

    def _tell_time(self, uptime_ms: int) -> None:
        seconds, ms = divmod(time.time_ns() // 1_000_000, 1000)
        self._send(TimeSync(uptime_ms & 0xFFFFFFFF, True, seconds, ms))

    def _send(self, message: Message) -> None:
        try:
            with self._news:  # two threads send, and no counter is to come twice
                self._port.write(self._peer.frame(message))
        except BoardError:
            return  # the port went away with the board; the node asks again
