"""The gateway's advertising bearer: bridges on serial lines, several, unplugged, hostile."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fieldline_gateway.links.serial import SerialLinks, SerialSettings
from fieldline_gateway.mesh import bridge as bridges
from fieldline_gateway.mesh.bridge import Bridges
from fieldline_gateway.mesh.config import MeshConfig
from fieldline_gateway.mesh.ears import Ears
from fieldline_gateway.mesh.links import MeshLinks
from fieldline_wire.mesh.advertiser import AD_BEACON, AD_MESSAGE
from fieldline_wire.mesh.bridge import AD_TYPES
from fieldline_wire.mesh.lower import OPCODE_HEARTBEAT
from fieldline_wire.mesh.network import NetworkPdu
from fieldline_wire.serial import BRIDGE_KINDS, KIND_ADVERT, KIND_HEARD, KIND_SEALED, encode
from tests.fakes.mesh_room import LiveRoom
from tests.gateway.test_mesh_links import Far, downlink, new_mesh, running, until, uplink


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridges, "SCAN_S", 0.05)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return new_mesh(tmp_path)


def state(links: MeshLinks, path: str) -> dict[str, object]:
    return next((row for row in links.status() if row["link"] == f"bridge {path}"), {"open": False})


async def test_messages_go_both_ways_over_a_bridge_that_holds_no_keys(folder: Path) -> None:
    far = Far(0x0100)
    room = LiveRoom(far.node)
    bridge = room.add_bridge()
    heard: list[tuple[str, bytes]] = []
    links = MeshLinks(
        folder, MeshConfig(bridges=(bridge.path,)), lambda link, sealed: heard.append((link, sealed))
    )
    async with room, running(links):
        assert not links.send("mesh:0100", downlink(0)), "there is no way yet"
        await until(lambda: links.station.open)
        ups, downs = [uplink(n) for n in range(3)], [downlink(n) for n in range(3)]
        for sealed in ups:
            far.say(sealed)
        await until(lambda: len(heard) == len(ups))
        assert heard == [("mesh:0100", sealed) for sealed in ups]
        for sealed in downs:
            assert links.send("mesh:0100", sealed)
        await until(lambda: len(far.came) == len(downs))
        assert far.came == downs
        await until(lambda: "board" in state(links, bridge.path))
        told = state(links, bridge.path)
        assert told["open"] and told["board"] == "fake" and told["adverts_in"] and told["adverts_out"]


async def test_the_signal_strength_comes_with_what_is_heard(folder: Path) -> None:
    far, other = Far(0x0100), Far(0x0101)
    room = LiveRoom(far.node, other.node)
    room.rssi = {0x0100: -61, 0x0101: -90}
    bridge = room.add_bridge()
    links = MeshLinks(folder, MeshConfig(bridges=(bridge.path,)), lambda link, sealed: None)

    def told(address: str) -> set[int | None]:
        heard = links.operations.heard_since(0)
        assert {one["via"] for one in heard} <= {bridge.path}
        return {one["rssi"] for one in heard if one.get("src") == address}

    async with room, running(links):
        await until(lambda: bridge.tells_rssi)
        far.say(uplink(0))
        other.say(uplink(0))
        await until(lambda: told("0100") == {-61} and told("0101") == {-90})
        assert links.station.ears.via is links.station.ears.rssi is None, "for what comes by a proxy"
        # The board starts anew, and the line stays open: it is asked again.
        bridge.tells_rssi = False
        far.say(uplink(1))
        await until(lambda: None in told("0100"))
        assert state(links, bridge.path)["rssi"] is False
        bridge.state()
        await until(lambda: bridge.tells_rssi)


async def test_a_bridge_of_before_the_signal_strength_does_all_else(folder: Path) -> None:
    far = Far(0x0100)
    room = LiveRoom(far.node)
    bridge = room.add_bridge()
    bridge.is_old = True
    heard: list[bytes] = []
    links = MeshLinks(folder, MeshConfig(bridges=(bridge.path,)), lambda _, sealed: heard.append(sealed))
    async with room, running(links):
        await until(lambda: links.station.open)
        for number in range(2):
            bridge.state()
            far.say(uplink(number))
            await until(lambda number=number: len(heard) == number + 1)  # type: ignore[misc]
        assert {one["rssi"] for one in links.operations.heard_since(0)} == {None}
        assert state(links, bridge.path)["rssi"] is False and state(links, bridge.path)["refused"] == 0


def test_the_mean_is_of_what_came_without_a_relay() -> None:
    ears = Ears(2)

    def hear(src: int, ttl: int, rssi: int | None, heartbeat: bool = False) -> None:
        said = bytes((OPCODE_HEARTBEAT, 5, 0, 0)) if heartbeat else b"\x01\x02\x03\x04"
        seq[0] += 1
        with ears.over("port", rssi):
            ears.take(NetworkPdu(heartbeat, ttl, seq[0], src, 1, 0, said), 0)

    seq = [0]
    hear(0x100, 5, -60)
    assert ears.means == {}, "it may have come by a relay"
    hear(0x100, 5, -60, heartbeat=True)
    hear(0x100, 5, -64)
    hear(0x100, 4, -20)  # a relay's
    hear(0x100, 5, None)  # from a bridge that does not tell
    assert ears.means == {0x100: -61}
    ears.report()
    assert ears.means, "it has just been heard"
    ears.report()
    assert ears.means == {}, "not heard since"


async def test_of_two_bridges_one_is_unplugged_and_comes_back(folder: Path, tmp_path: Path) -> None:
    far = Far(0x0100)
    room = LiveRoom(far.node)
    one, other = room.add_bridge(), room.add_bridge()
    plug = tmp_path / "plug"  # as udev's links come and go
    plug.symlink_to(one.path)
    heard: list[bytes] = []
    config = MeshConfig(bridges=(str(plug), other.path))
    links = MeshLinks(folder, config, lambda _, sealed: heard.append(sealed))
    async with room, running(links):
        await until(lambda: state(links, str(plug)).get("board") and state(links, other.path).get("board"))
        far.say(uplink(0))
        await until(lambda: heard)
        plug.unlink()
        one.close()
        room.bridges.remove(one)
        await until(lambda: not state(links, str(plug))["open"])
        far.say(uplink(1))
        await until(lambda: len(heard) == 2)
        assert links.send("mesh:0100", downlink(0))
        await until(lambda: far.came)
        again = room.add_bridge()
        plug.symlink_to(again.path)
        await until(lambda: state(links, str(plug))["open"])
        other.close()
        room.bridges.remove(other)
        await until(lambda: not state(links, other.path)["open"])
        far.say(uplink(2))
        await until(lambda: len(heard) == 3)
        assert heard == [uplink(n) for n in range(3)], "nothing came twice"
        assert state(links, str(plug))["opened"] == 2


async def test_with_no_bridge_nothing_waits_for_one(folder: Path, tmp_path: Path) -> None:
    links = MeshLinks(folder, MeshConfig(bridges=(str(tmp_path / "none"),)), lambda link, sealed: None)
    async with running(links):
        await until(lambda: state(links, str(tmp_path / "none")).get("error") == "no such port")
        links.station.say(AD_MESSAGE, b"stale")
        await asyncio.sleep(0.3)
        assert links.station.node.air.wait_ms(0, 12345) == 12345 and not links.station.open


async def test_a_bridge_is_no_serial_link_though_the_pattern_names_it(tmp_path: Path) -> None:
    room = LiveRoom()
    bridge, node = room.add_bridge(), room.add_bridge()
    for name, each in (("ttyACM0", bridge), ("ttyACM1", node)):
        (tmp_path / name).symlink_to(each.path)
    settings = SerialSettings((str(tmp_path / "ttyACM*"),), scan_s=0.05, without=(str(tmp_path / "ttyACM0"),))
    links = SerialLinks(settings, lambda link, sealed: None)
    async with room:
        task = asyncio.create_task(links.run())
        await until(links.status)
        assert [row["link"] for row in links.status()] == [str(tmp_path / "ttyACM1")]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


frames = st.one_of(
    st.binary(max_size=200),
    st.builds(
        encode,
        st.sampled_from((*BRIDGE_KINDS, KIND_HEARD, KIND_SEALED, 9)),
        st.binary(max_size=80),
    ),
    st.builds(
        lambda kind, data: encode(KIND_ADVERT, bytes((kind,)) + data),
        st.sampled_from((*AD_TYPES, 1)),
        st.binary(max_size=40),
    ),
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(frames, max_size=20), st.integers(1, 64))
def test_whatever_the_line_brings_the_next_advert_is_taken(pieces: list[bytes], size: int) -> None:
    came: list[tuple[int, bytes]] = []
    bridge = bridges._Bridge("x", lambda path, kind, data, rssi: came.append((kind, data)))
    line = b"".join(pieces)
    for at in range(0, len(line), size):
        bridge.data_received(line[at : at + size])
    assert all(kind in AD_TYPES and 1 <= len(data) <= 29 for kind, data in came)
    before = len(came)
    bridge.data_received(b"\0" + encode(KIND_ADVERT, bytes((AD_BEACON,)) + b"sure"))
    assert came[before:][-1] == (AD_BEACON, b"sure") and len(came) <= before + 2
    assert bridge.status()["open"] is False


async def test_random_bytes_from_a_bridge_do_no_harm_to_what_comes_behind(folder: Path) -> None:
    far = Far(0x0100)
    room = LiveRoom(far.node)
    bridge = room.add_bridge()
    heard: list[bytes] = []
    links = MeshLinks(folder, MeshConfig(bridges=(bridge.path,)), lambda _, sealed: heard.append(sealed))
    async with room, running(links):
        await until(lambda: links.station.open)
        for _ in range(50):
            bridge.raw(os.urandom(100))
            for kind in AD_TYPES:
                bridge.write(kind, os.urandom(29))
            await asyncio.sleep(0.002)
        bridge.raw(b"\0")
        far.say(uplink(0))
        await until(lambda: heard)
        told = state(links, bridge.path)
        assert heard == [uplink(0)] and int(str(told["noise_bytes"])) + int(str(told["crc_errors"])) > 0


async def test_a_bridge_that_does_not_read_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = os.openpty()
    line = Bridges((os.ttyname(slave),), 115200, lambda path, kind, data, rssi: None)
    task = asyncio.create_task(line.run())
    await until(lambda: line.open)
    for _ in range(5000):
        line.send(AD_MESSAGE, bytes(29))
    await asyncio.sleep(0)
    assert int(str(line.status()[0]["dropped"])) > 1000
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    os.close(master)
    os.close(slave)


async def test_a_bridge_that_goes_while_it_is_written_to_is_no_fault_of_ours() -> None:
    """conftest.py fails a test whose event loop reports a fault."""
    master, slave = os.openpty()
    line = Bridges((os.ttyname(slave),), 115200, lambda path, kind, data: None)
    task = asyncio.create_task(line.run())
    await until(lambda: line.open)
    os.close(master)
    os.close(slave)
    line.send(AD_MESSAGE, bytes(29))
    await until(lambda: line.status()[0].get("error"))
    assert "write failed" in str(line.status()[0]["error"])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
