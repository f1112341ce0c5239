"""The demo's boards: each with its own fan and its own key, kept from start to start.

Rules: everything lives under one folder, so that a second start goes on where the first stopped; keys are drawn
once, in files that only their owner reads.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fieldline_boards.build import build
from fieldline_boards.catalog import load_board
from fieldline_boards.emulated.vm import VmBoard
from fieldline_boards.identity import KEY_BYTES, make_identity, write_private
from fieldline_boards.spec import BoardSpec
from fieldline_harness.demo.fans import FANS, Fan

KINDS = (
    "pico_w",
    "pico_w",
    "pico_w",
    "esp32_devkitc",
)  # the last counts by hardware, the others by interrupt
PULSES_PER_TURN = 2  # the boards' default
UPDATE_S = 0.25  # how often a fan's speed follows its curve


@dataclass(frozen=True, slots=True)
class Member:
    """One emulated node: its id (8 bytes), its device key, its fan, its board."""

    node: bytes
    key: bytes
    fan: Fan
    board: VmBoard


def make_crew(folder: Path, say: Callable[[str], None]) -> list[Member]:
    """Build the firmware for each kind of board and make the boards, not yet switched on."""
    specs: dict[str, BoardSpec] = {}
    for kind in dict.fromkeys(KINDS):
        say(f"building the firmware for {kind}")
        specs[kind] = load_board(kind)
        report = build(specs[kind], folder / "firmware" / kind)
        say(f"  {report.mpy_bytes:,} bytes of .mpy, budget {specs[kind].budget.mpy_bytes:,}")
    members = []
    for number, (fan, kind) in enumerate(zip(FANS, KINDS, strict=True), 1):
        node = bytes.fromhex("feed0000000000") + bytes([number])
        home = folder / "boards" / fan.name
        home.mkdir(parents=True, exist_ok=True)
        key = kept_key(home / "key")
        identity = home / "files" / "identity.bin"
        identity.parent.mkdir(exist_ok=True)
        write_private(identity, make_identity(node, 0, key))
        board = VmBoard(specs[kind], home, unique_id=node, files=folder / "firmware" / kind)
        members.append(Member(node, key, fan, board))
    return members


async def turn(member: Member, started: float) -> None:
    """Let the member's fans turn until cancelled: the first as its curve says, the others beside it in good health.

    `started`: time.monotonic() of the switch-on.
    """
    sensors = [sensor for sensor in member.board.spec.sensors if sensor.kind == "tachometer"]
    while True:
        now = time.monotonic() - started
        for place, sensor in enumerate(sensors):
            assert sensor.pin is not None
            rpm = (member.fan if place == 0 else FANS[0]).rpm(now)
            await member.board.pins.pulse(sensor.pin, rpm / 60 * PULSES_PER_TURN)
        await asyncio.sleep(UPDATE_S)


def kept_key(path: Path) -> bytes:
    """The key in a file that only its owner reads; drawn where there is none."""
    if not path.exists():
        write_private(path, secrets.token_bytes(KEY_BYTES))
    return path.read_bytes()
