"""Whom a node hears, on CPython and as `.mpy` on the MicroPython VM; and asked for over the mesh."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fieldline_boards.build import build_modules
from fieldline_boards.catalog import load_board
from fieldline_boards.emulated.vm import run_script
from fieldline_wire.mesh.access import vendor_opcode
from fieldline_wire.mesh.advertiser import AD_MESSAGE
from fieldline_wire.mesh.heard import MAX_HEARD, Heard
from fieldline_wire.mesh.models.sealed import COMPANY, SEALED_GATEWAY, SEALED_NODE, SealedModel
from fieldline_wire.mesh.network import NetworkPdu
from fieldline_wire.mesh.node import Node
from fieldline_wire.mesh.transport import Access
from tests.fakes.aes import Block
from tests.wire.mesh.mesh_cases import heard_cases
from tests.wire.mesh.pair import Room, make

HERE = Path(__file__).parent
CASES = sorted(name for name in vars(heard_cases) if name.startswith("case_"))
_ON_THE_VM = """
import heard_cases

done = 0
for name in sorted(dir(heard_cases)):
    if name.startswith("case_"):
        getattr(heard_cases, name)(None)
        done += 1
print("done", done)
"""
GET, STATUS = vendor_opcode(3, COMPANY), vendor_opcode(4, COMPANY)


@pytest.mark.parametrize("name", CASES)
def test_on_cpython(name: str) -> None:
    case: Callable[[object], None] = getattr(heard_cases, name)
    case(Block)


@pytest.mark.vm
def test_compiled_on_the_micropython_vm(tmp_path: Path) -> None:
    wanted = [f"fieldline_wire.mesh.{name}" for name in ("heard", "lower", "network")]
    build_modules(load_board("pico"), wanted, tmp_path)
    assert run_script(_ON_THE_VM, paths=[tmp_path, HERE / "mesh_cases"]) == f"done {len(CASES)}\n"


class Asking(SealedModel):
    """A gateway's end that keeps what it is told of neighbours."""

    OPCODES = (*SealedModel.OPCODES, 0xC4FFFF)

    def __init__(self) -> None:
        super().__init__(SEALED_GATEWAY, lambda now, src, sealed: None, 8)
        self.told: list[bytes] = []

    def receive(self, now: int, message: Access, code: int, data: bytes) -> bytes | None:
        if code == 0xC4FFFF:
            self.told.append(data)
            return None
        return super().receive(now, message, code, data)


def plain() -> SealedModel:
    return SealedModel(SEALED_NODE, lambda now, src, sealed: None, 2)


def beating(node: Node) -> None:
    """As the gateway sets it: at the TTL of all else that the node says, each second."""
    beats = node.settings.heartbeats
    beats.dst, beats.count, beats.period_log, beats.ttl = 1, -1, 1, node.settings.default_ttl


def test_in_a_line_each_tells_of_its_neighbours_alone_and_the_question_costs_a_pdu() -> None:
    asking = Asking()
    nodes = [make(1, [asking]), *(make(0x0100 + number, [plain()]) for number in range(3))]
    for node in nodes[1:]:
        beating(node)
        node.settings.relay = node.network.relay = True
    place = {id(node): number for number, node in enumerate(nodes)}
    room = Room(*nodes, hears=lambda one, other, kind, data: abs(place[id(one)] - place[id(other)]) == 1)
    room.run(20_000)
    said = len(list(room.said(nodes[0], AD_MESSAGE)))
    assert nodes[0].send(room.now, 0x0101, 0, GET)
    assert nodes[0].network.counts["out"] == 1 and said == 0
    room.until(lambda: asking.told)
    found = {asking.told[0][at] << 8 | asking.told[0][at + 1] for at in range(0, len(asking.told[0]), 4)}
    assert found == {0x0100, 0x0102}, "neither the gateway, which does not beat, nor itself"
    assert nodes[0].network.heard.rows.keys() == {0x0100}


def test_what_a_proxy_brings_was_not_heard_on_air() -> None:
    node, far = make(1, [Asking()]), make(0x0100, [plain()])
    beating(far)
    sent: list[bytes] = []
    far.network.proxy = lambda pdu, data: sent.append(data)
    far.poll(0)
    assert isinstance(sent[0], bytes)
    node.receive(0, sent[0], 1)
    assert node.network.counts["mine"] == 1 and not node.network.heard.rows


def test_a_flood_of_forged_sources_takes_no_more_room() -> None:
    heard = Heard(MAX_HEARD)
    for src in range(1, 500):
        heard.take(NetworkPdu(1, 3, 0, src, 1, 0, b"\x0a\x03\x00\x00"), 0)
    assert len(heard.rows) == MAX_HEARD and len(heard.report()) == 4 * MAX_HEARD
