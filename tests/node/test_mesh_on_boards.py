"""Mesh nodes' firmware on emulated boards in real time (SIMULATED boards and air): a relay, a flood, a bridge."""

from __future__ import annotations

import asyncio
import os
import random
import tty
from pathlib import Path

import pytest
from fakes.aes import Block

from fieldline_boards.emulated.air.live import Heard
from fieldline_wire.codes import LIVE
from fieldline_wire.errors import PeerError
from fieldline_wire.mesh.advertiser import AD_BEACON, AD_MESSAGE
from fieldline_wire.mesh.bridge import NO_RSSI, WANT_RSSI, BridgeState, advert, read_advert, read_heard
from fieldline_wire.mesh.keys import NetworkKey
from fieldline_wire.mesh.network import clear, decode
from fieldline_wire.messages import Report
from fieldline_wire.serial import BRIDGE_KINDS, KIND_ADVERT, KIND_BRIDGE, KIND_HEARD, Reader, encode
from tests.node.mesh_bench import NET_KEY, STRONG, MeshSite, now_ms

pytestmark = pytest.mark.vm

FIRST, SECOND = 0x0100, 0x0101
HEAP_MARGIN = 6144  # bytes that the heap of a node under flood may differ by


class Sniffer:
    """Hears all that is near it, and judges at once: under one number a node may say one thing alone."""

    def __init__(self, site: MeshSite, *near: str) -> None:
        station = site.air.station("sniffer")
        for name in near:
            site.air.link("sniffer", name, STRONG)
        station.hear = self._heard
        station.scan(30_000, 30_000)
        self._key = NetworkKey(Block, NET_KEY)
        self.said: dict[tuple[int, int, int], bytes] = {}
        self.faults: list[str] = []

    def _heard(self, heard: Heard) -> None:
        if heard.data[1] != AD_MESSAGE:
            return
        try:
            iv_index, head = clear(self._key, 0, heard.data[2:])
            pdu = decode(self._key, iv_index, head, heard.data[2:])
        except PeerError:
            return
        number = (pdu.src, pdu.iv_index, pdu.seq)
        before = self.said.setdefault(number, pdu.transport)
        if before != pdu.transport:
            self.faults.append(f"0x{pdu.src:04x} said number {pdu.seq} twice")

    def count(self, address: int) -> int:
        return sum(src == address for src, _, _ in self.said)


def test_readings_arrive_over_a_relay_that_dies_and_from_a_node_that_is_reset(tmp_path: Path) -> None:
    async def scenario() -> None:
        site = MeshSite(tmp_path)
        far, near = site.add("far", FIRST), site.add("near", SECOND, relay=True)
        site.air.link("far", "near", STRONG)
        site.air.link("near", "gateway", STRONG)
        sniffer = Sniffer(site, "far", "near")
        async with site:
            await site.until(lambda: far.next(LIVE) > 5 and near.next(LIVE) > 5, "readings of both")
            assert site.air.heard_from["gateway"].keys() == {"near"}
            await site.boards["near"].power.off()
            await asyncio.sleep(0.5)  # what was on its way
            before = far.next(LIVE)
            await asyncio.sleep(4)
            assert far.next(LIVE) == before, "nobody else relays"
            await site.boards["near"].power.on()
            await site.until(lambda: far.next(LIVE) > before + 15, "the readings after the relay came back")
            numbers = sniffer.count(FIRST)
            await site.boards["far"].power.reset()
            epoch, after = far.epoch, far.next(LIVE)
            await site.until(lambda: far.next(LIVE) > after + 10, "the readings after the reset")
            assert far.epoch == epoch + 1
            assert sniffer.count(FIRST) > numbers
            assert sniffer.faults == []
            assert not far.gaps[LIVE] and not near.gaps[LIVE]
            assert max(len(report.readings) for report in far.of(Report)) > 10, "few reports, full ones"

    asyncio.run(scenario())


def test_a_flood_of_foreign_adverts_takes_no_memory_and_readings_arrive(tmp_path: Path) -> None:
    async def scenario() -> None:
        site = MeshSite(tmp_path)
        node = site.add("node", FIRST)
        site.air.link("node", "gateway", STRONG)
        site.air.link("node", "loud", STRONG - 20)
        dice = random.Random(1)
        nid = NetworkKey(Block, NET_KEY).nid
        async with site:
            await site.until(lambda: node.next(LIVE) > 20, "readings")
            quiet = await site.boards["node"].heap_used()
            loud, loop = site.air.station("loud"), asyncio.get_running_loop()
            end = loop.time() + 10
            while loop.time() < end:  # foreign meshes', some with our NID, malformed ones, and other devices
                for data in (
                    bytes((30, AD_MESSAGE, nid)) + dice.randbytes(28),
                    bytes((30, AD_MESSAGE)) + dice.randbytes(29),
                    bytes((23, AD_BEACON, 1)) + dice.randbytes(21),
                    bytes((9, 0xFF)) + dice.randbytes(8),
                    bytes((31, AD_MESSAGE)) + dice.randbytes(2),
                    b"\x01\x2a",
                ):
                    loud.advertise(20_000, data)
                    await asyncio.sleep(0.006)
            loud.stop()
            before = node.next(LIVE)
            await site.until(lambda: node.next(LIVE) > before + 10, "readings after the flood")
            assert abs(await site.boards["node"].heap_used() - quiet) < HEAP_MARGIN
            assert site.air.heard_from["node"]["loud"] > 500
            assert not node.gaps[LIVE]

    asyncio.run(scenario())


def test_a_bridge_hands_adverts_to_its_console_and_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        site = MeshSite(tmp_path, "pico_w")
        site.add("bridge", SECOND, mesh='{"role": "bridge"}')
        (tmp_path / "bridge" / "files" / "identity.bin").unlink()  # it is no node
        site.air.link("bridge", "here", STRONG)
        heard: list[bytes] = []
        here = site.air.station("here")
        here.hear = lambda one: heard.append(one.data)
        here.scan(30_000, 30_000)
        reader = Reader(kinds=(*BRIDGE_KINDS, KIND_HEARD))
        frames: list[tuple[int, bytes]] = []
        async with site:
            fd = os.open(site.boards["bridge"].port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            tty.setraw(fd)

            def listen() -> None:
                try:
                    frames.extend(reader.feed(os.read(fd, 65536)))
                except BlockingIOError:
                    return

            loop = asyncio.get_running_loop()
            loop.add_reader(fd, listen)
            os.write(fd, b"\x00" + encode(KIND_BRIDGE, b""))
            await site.until(lambda: any(kind == KIND_BRIDGE for kind, _ in frames), "its state")
            here.advertise(20_000, bytes((5, AD_MESSAGE)) + b"up 1")
            await site.until(
                lambda: (KIND_ADVERT, advert(AD_MESSAGE, b"up 1")) in frames, "an advert from the air"
            )
            here.advertise(20_000, bytes((8, 0xFF)) + b"no mesh")
            await asyncio.sleep(0.3)
            os.write(fd, encode(KIND_BRIDGE, WANT_RSSI))
            here.advertise(20_000, bytes((5, AD_MESSAGE)) + b"up 2")
            await site.until(lambda: any(kind == KIND_HEARD for kind, _ in frames), "its signal strength")
            ad_type, data, rssi = read_heard(next(data for kind, data in frames if kind == KIND_HEARD))
            assert (ad_type, data) == (AD_MESSAGE, b"up 2") and abs(rssi - STRONG) < 20 and rssi != NO_RSSI
            here.stop()
            assert all(read_advert(data)[1] == b"up 1" for kind, data in frames if kind == KIND_ADVERT)
            for number in range(60):
                os.write(fd, encode(KIND_ADVERT, advert(AD_MESSAGE, b"down %02d" % number)))
                await asyncio.sleep(0.03)
            os.write(fd, encode(KIND_ADVERT, b"nonsense"))
            count = len(frames)
            await asyncio.sleep(1)
            os.write(fd, encode(KIND_BRIDGE, b""))
            await site.until(
                lambda: any(kind == KIND_BRIDGE for kind, _ in frames[count:]), "its state again"
            )
            loop.remove_reader(fd)
            os.close(fd)
            state = BridgeState.from_bytes([data for kind, data in frames if kind == KIND_BRIDGE][-1])
            assert (state.board, state.dropped, state.sent, state.free) == ("pico_w", 1, 60, 32)
            assert state.heard >= 1 and state.lost == 0
            told = [data[2:] for data in heard if data[1] == AD_MESSAGE]
            assert len(set(told)) > 50  # the air loses some
            assert sorted(told) == told, "in the order in which they came"

    asyncio.run(scenario())


def test_a_mesh_file_that_cannot_be_used_is_said_and_the_node_talks_over_its_cable(tmp_path: Path) -> None:
    async def scenario() -> None:
        for number, (board, mesh, said) in enumerate(
            (
                ("pico2_w", "{", b"/mesh.json: "),
                ("pico2_w", '{"address": "0100"}', b"/mesh.json: no gateway in it"),
                ("pico2_w", '{"role": "hub"}', b"the role 'hub' is none of node, device, bridge"),
                ("pico_w", '{"address": "0100"}', b"needs links.mesh, which this build has not"),
                ("pico_w", '{"role": "device"}', b"needs given, which this build has not"),
                ("pico2_w", '{"role": "device", "static_oob": "00"}', b"static_oob has 1 bytes, not 16"),
                ("pico", "{}", b"/mesh.json is for a board with Bluetooth"),
            )
        ):
            folder = tmp_path / str(number)
            folder.mkdir()
            site = MeshSite(folder, board)
            site.add("node", FIRST, mesh=mesh)
            async with site:
                fd = os.open(site.boards["node"].port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
                tty.setraw(fd)
                raw = b""
                end = now_ms() + 30_000
                while said not in raw or not Reader().feed(raw):
                    assert now_ms() < end, raw
                    try:
                        raw += os.read(fd, 65536)
                    except BlockingIOError:
                        await asyncio.sleep(0.05)
                os.close(fd)
                assert b"It talks over its cable" in raw

    asyncio.run(scenario())
