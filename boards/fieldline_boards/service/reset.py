"""`fieldline node factory-reset`: the readings and the settings of a node, and on demand its identity, given up.

Rules: by the wire's own commands (wire.md 5.11, 5.12), so that it works on a release build and given-up readings
become gaps with their reason. The boot count always stays: under the same key no nonce may come twice (wire.md 3.3).
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass

from fieldline_boards.boardfiles import BoardFiles
from fieldline_boards.errors import BoardError
from fieldline_boards.install import IDENTITY
from fieldline_boards.service.config import next_version, put
from fieldline_boards.service.line import NodeLine
from fieldline_boards.service.logs import CLASS_NAMES
from fieldline_boards.service.settings import SettingNames
from fieldline_wire import codes
from fieldline_wire.messages import Command, Config, Hello, Result

ERASES = """This gives up, on the node at {port}:
  its settings      back to the board's defaults
  its readings      those that no gateway has acknowledged become gaps, reason "erased by command"
  {identity}
It keeps the firmware and the count of its boots."""
KEEPS_IDENTITY = "It keeps its identity: id and key stay as they are."
DROPS_IDENTITY = "its identity      /identity.bin: it says nothing to a gateway until it gets another"
_TOOLS_IDS = 0x80000000  # gateways count their commands from 1: a node knows a repeat by its id alone
_STATUS = {
    codes.RESULT_UNKNOWN_CODE: "it does not know this command",
    codes.RESULT_BAD_ARGUMENT: "its stream changed meanwhile",
    codes.RESULT_EXPIRED: "it was too late",
    codes.RESULT_FAILED: "its flash did not take it",
}


@dataclass(frozen=True, slots=True)
class Unsent:
    """Readings that no gateway has acknowledged, by class name."""

    counts: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def __str__(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in self.counts.items() if count) or "none"


def unsent(hello: Hello) -> Unsent:
    """What the node still keeps, as its Hello says."""
    return Unsent({CLASS_NAMES[cls]: next_ - oldest for cls, next_, oldest in hello.classes})


def erase(line: NodeLine, hello: Hello, names: SettingNames, say: Callable[[str], None]) -> None:
    """Give up readings and settings and restart the node; BoardError where it does not do one of these."""
    _do(line, codes.CMD_ERASE, struct.pack(">I", hello.stream), "erase its readings")
    say("readings erased; the gateway will get gaps for them")
    put(line, names, Config(next_version(line.settings().version)))
    say("settings are the board's defaults")
    _do(line, codes.CMD_RESTART, b"", "restart")
    line.next_boot()
    say("restarted")


def remove_identity(port: str) -> None:
    """Take the identity off a development build; BoardError where the node gives no REPL."""
    with BoardFiles(port) as board:
        if IDENTITY in board.digests([IDENTITY]):
            board.remove(IDENTITY)


def _do(line: NodeLine, code: int, argument: bytes, what: str) -> None:
    command = Command(_TOOLS_IDS | secrets.randbits(31), code, argument)

    def answered(message: object) -> Result | None:
        mine = (
            isinstance(message, Result) and message.id == command.id and message.status != codes.RESULT_TAKEN
        )
        return message if mine and isinstance(message, Result) else None

    result = line.answer(command, f"the answer to '{what}'", answered)
    if result.status != codes.RESULT_DONE:
        why = _STATUS.get(result.status, f"status {result.status}")
        raise BoardError(f"the node did not {what}: {why}")
