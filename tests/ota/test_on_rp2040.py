"""Updates on an emulated Pico (SIMULATED): a real MicroPython image, power cuts at flash operations."""

from __future__ import annotations

import asyncio
import importlib.metadata
from pathlib import Path

import pytest
from fakes.update_server import UpdateServer

from fieldline_boards.build import build
from fieldline_boards.emulated.rp2040 import Rp2040Board
from fieldline_ota.romfs import build_image
from fieldline_wire.codes import LIVE, SLOT_A
from fieldline_wire.messages import Hello
from fieldline_wire.update import codes
from fieldline_wire.update.trust import pack_trust
from tests.boards.rp2040.conftest import equipped as equipped
from tests.boards.rp2040.conftest import image as image
from tests.boards.rp2040.nodes import PicoNode
from tests.boards.rp2040.picos import NODE, SPEC, Equipped
from tests.ota import material
from tests.ota.rp2040 import ABI, MANY, Cuts, cut, put

SAMPLE = 3
WHOLE_S = 600.0  # of the host's time


def judge(cuts: Cuts) -> None:
    print(
        f"{cuts.cases} cuts, confirmed {sorted(cuts.confirmed)}, seen on the way back {cuts.reverted} times"
    )
    assert cuts.wrong == []


@pytest.mark.timeout(600)
def test_power_cuts_in_updates(image: Path, equipped: Equipped, tmp_path: Path) -> None:
    judge(asyncio.run(cut(image, equipped.flash, tmp_path, SAMPLE, 3, last=2)))


@pytest.mark.soak
@pytest.mark.timeout(36000)
def test_many_power_cuts_in_updates(image: Path, equipped: Equipped, tmp_path: Path) -> None:
    cuts = asyncio.run(cut(image, equipped.flash, tmp_path, MANY, 7))
    judge(cuts)
    assert len(cuts.confirmed) > 5 and cuts.reverted


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_the_whole_node_has_the_memory_for_an_update(image: Path, equipped: Equipped, tmp_path: Path) -> None:
    """The firmware as it is on a Pico's heap; of the image, the board's module alone is another one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.metadata, "version", lambda name: "0.2.0")
        build(SPEC, tmp_path / "two")
    content = build_image({"fieldline_board.mpy": (tmp_path / "two" / "fieldline_board.mpy").read_bytes()})
    release = material.release(content, 2, board="pico", abi=ABI)
    trust = pack_trust(material.TOKEN_KEY, material.root().to_bytes())

    async def scenario() -> None:
        async with Rp2040Board(SPEC, tmp_path / "board", image=image, pace=0, instant_flash=True) as board:
            await board.restore(equipped.flash)
            await board.power.on()
            await asyncio.to_thread(put, board.port, {"trust.bin": trust})
            node = PicoNode(board)
            peer = node.peer
            server = UpdateServer(peer, NODE, material.TOKEN_KEY)
            await node.until(lambda: peer.of(Hello), "Hello", WHOLE_S)
            server.offer(release)
            await node.until(lambda: server.is_at(codes.CONFIRMED, 2), "the update", WHOLE_S)
            assert (peer.of(Hello)[-1].slot, peer.of(Hello)[-1].firmware) == (SLOT_A, "0.2.0")
            stored = peer.next(LIVE)
            await node.until(lambda: peer.next(LIVE) > stored + 5, "readings after it", WHOLE_S)
            assert not any(peer.gaps), "no reading was lost"
            print(f"states {[(status.state, status.reason) for status in server.statuses]}")

    asyncio.run(scenario())
