"""`fieldline node logs`: what a node says, for people.

Rules: nothing is acknowledged, so every reading stays in the node for its gateway. Log lines have no number: those
shown here are not said again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fieldline_boards.errors import BoardError
from fieldline_boards.service.line import NodeLine
from fieldline_boards.service.peer import Heard
from fieldline_boards.service.settings import SettingNames
from fieldline_boards.spec import BoardSpec
from fieldline_wire import codes
from fieldline_wire.messages import Config, Gap, Hello, Log, Report, TimeSync
from fieldline_wire.quantities import QUANTITIES

CLASS_NAMES = ("alarm", "live", "bulk")
CAUSES = {
    codes.CAUSE_STALL: "stall",
    codes.CAUSE_OVER: "over limit",
    codes.CAUSE_UNDER: "under limit",
    codes.CAUSE_RATE: "rate",
    codes.CAUSE_SILENT: "sensor silent",
}
RESETS = (
    "unknown",
    "power on",
    "hard reset",
    "watchdog",
    "deep sleep",
    "soft reset",
    "brown-out",
    "own fault",
)
GAPS = {
    codes.GAP_DROPPED: "outbox full, oldest dropped",
    codes.GAP_UNREADABLE: "unreadable in flash",
    codes.GAP_ERASED: "erased by command",
}
LEVELS = {
    codes.LOG_DEBUG: "debug",
    codes.LOG_INFO: "info",
    codes.LOG_WARNING: "warning",
    codes.LOG_ERROR: "error",
}

FindBoard = Callable[[str | None], BoardSpec | None]
"""The board that a Hello names, None where it is not in the catalog."""


def follow(line: NodeLine, find: FindBoard, say: Callable[[str], None], *, ask: bool, seconds: float) -> None:
    """Say what the node says for `seconds`; BoardError where nothing of it could be read.

    `ask`: answer each Hello by a question, so that the node takes this for a gateway and talks; else only listen.
    """
    story = _Story(find)
    for heard in line.heard(seconds):
        line.check(heard)
        for text in story.told(heard):
            say(text)
        if ask and (isinstance(heard.message, Hello) or not story.asked):
            story.asked = True
            line.send(Config(0))  # says the settings, changes nothing: wire.md 5.11
    if not story.messages:
        raise BoardError(
            f"nothing was heard in {seconds:g} s. A node that has no gateway says Hello every 20 s; "
            "ask: fieldline node doctor"
        )


@dataclass(slots=True)
class _Story:
    """What was said so far: a number is told once, however often it comes."""

    find: FindBoard
    asked: bool = False
    messages: int = 0
    names: SettingNames = field(default_factory=lambda: SettingNames(None))
    _board: str | None = None
    _highest: dict[tuple[int, int], int] = field(default_factory=dict)

    def told(self, heard: Heard) -> list[str]:
        message = heard.message
        self.messages += 1
        if isinstance(message, Hello):
            if message.board != self._board:
                self._board, self.names = message.board, SettingNames(self.find(message.board))
            return [_hello(heard.header.node, heard.header.epoch, message)]
        if isinstance(message, Log):
            lost = f" ({message.lost} lines before it were lost)" if message.lost else ""
            level = LEVELS.get(message.level, str(message.level))
            return [f"log      {message.uptime:>7} s  {level}: {message.text}{lost}"]
        if isinstance(message, Report):
            return self._report(message)
        if isinstance(message, Gap):
            reason = GAPS.get(message.reason, f"reason {message.reason}")
            return [f"gap      {CLASS_NAMES[message.cls]} {message.first} to {message.last}: {reason}"]
        if isinstance(message, Config):
            return [f"settings version {message.version}: fieldline node config shows them"]
        if isinstance(message, TimeSync):
            return []
        return [f"message  {type(message).__name__}"]

    def _report(self, report: Report) -> list[str]:
        place, lines = (report.stream, report.cls), []
        for number, reading in enumerate(report.readings, report.first):
            if number <= self._highest.get(place, 0):
                continue
            self._highest[place] = number
            name, up, down, unit = QUANTITIES.get(
                reading.quantity, (f"quantity {reading.quantity}", 1, 1, "")
            )
            lines.append(
                f"reading  {CLASS_NAMES[report.cls]:5} {number:>6}  {self.names.sensor(reading.sensor)} {name} "
                f"{reading.value * up / down:g} {unit}{_alert(reading.flags)}"
            )
        return lines


def _alert(flags: int) -> str:
    cause = CAUSES.get(flags >> codes.CAUSE_SHIFT, "alert")
    out = " (out of the sensor's range)" if flags & codes.READING_SATURATED else ""
    if flags & codes.READING_RAISED:
        return f"{out}  ALERT raised: {cause}"
    return f"{out}  alert cleared: {cause}" if flags & codes.READING_CLEARED else out


def _hello(node: bytes, epoch: int, hello: Hello) -> str:
    reset = RESETS[hello.reset_cause] if hello.reset_cause < len(RESETS) else str(hello.reset_cause)
    unsent = ", ".join(f"{CLASS_NAMES[cls]} {next_ - oldest}" for cls, next_, oldest in hello.classes)
    build = "development" if hello.flags & codes.HELLO_DEVELOPMENT else "release"
    clock = "set" if hello.flags & codes.HELLO_CLOCK_SET else "not set"
    return (
        f"hello    {node.hex()} {hello.board or 'board unknown'}, firmware {hello.firmware or 'unknown'} ({build}); "
        f"boot {epoch} by {reset}, up {hello.uptime} s; clock {clock}; unsent: {unsent}; "
        f"heap free {hello.heap_free}"
    )
