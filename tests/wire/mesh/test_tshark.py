"""Wireshark's dissector, which shares nothing with us, decrypts a capture of our traffic."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fieldline_wire.mesh import beacon
from fieldline_wire.mesh.advertiser import AD_BEACON, AD_MESSAGE
from fieldline_wire.mesh.models.sensor_server import PROPERTY_TEMPERATURE, Sensor, SensorServer
from tests.fakes.aes import Block
from tests.wire.mesh.mesh_cases import friend_cases
from tests.wire.mesh.pair import APP_KEY, IV_INDEX, NET_KEY, Room, device_key, make

pytestmark = pytest.mark.skipif(not shutil.which("tshark"), reason="needs tshark: scripts/setup test")

_LINKTYPE_BLUETOOTH_LE_LL = 251
_ACCESS_ADDRESS = bytes.fromhex("d6be898e")  # Core 5.0, Vol 6, Part B, 2.1.2
_ADV_NONCONN_IND = 0x42


def capture(path: Path, adverts: list[tuple[int, bytes]]) -> None:
    """A pcap file of (AD type, payload)."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, _LINKTYPE_BLUETOOTH_LE_LL))
        for number, (kind, payload) in enumerate(adverts):
            data = bytes((len(payload) + 1, kind)) + payload
            frame = _ACCESS_ADDRESS + bytes((_ADV_NONCONN_IND, 6 + len(data))) + b"\1\2\3\4\5\xc0" + data
            frame += bytes(3)  # the CRC, which nobody checks here
            file.write(struct.pack("<IIII", number, 0, len(frame), len(frame)) + frame)


def dissect(path: Path, device: int, iv_index: int = IV_INDEX) -> list[dict[str, Any]]:
    """Each frame's layers. It puts segments together in a second pass alone."""
    keys = f'"0x{NET_KEY.hex()}","0x{APP_KEY.hex()}","0x{iv_index:08x}"'
    device_keys = f'"0x{device_key(device).hex()}","0x{device:04x}"'
    done = subprocess.run(
        ["tshark", "-2", "-r", path, "-T", "json", "-o", f"uat:btmesh_nw_keys:{keys}"]
        + ["-o", f"uat:btmesh_dev_keys:{device_keys}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return [row["_source"]["layers"] for row in json.loads(done.stdout)]


def find(layer: Any, name: str) -> list[str]:
    """All values of a field anywhere in a frame."""
    found: list[str] = []
    if isinstance(layer, dict):
        for key, value in layer.items():
            if key == name and isinstance(value, str):
                found.append(value)
            found += find(value, name)
    elif isinstance(layer, list):
        for value in layer:
            found += find(value, name)
    return found


def test_it_reads_our_beacon_our_sensor_status_and_our_segmented_composition(tmp_path: Path) -> None:
    node = make(0x0100, [SensorServer([Sensor(PROPERTY_TEMPERATURE, 2, lambda: 2150)])])
    peer = make(0x0001)
    room = Room(node, peer)
    room.run(200)
    node.send(room.now, 0x0001, 0, node.models()[-1].published(0) or b"", ttl=3)
    page = b"\x02\x00" + node.models()[0].composition.to_bytes()  # type: ignore[attr-defined]
    subnet = node.network.subnets[0]
    node.transport.send(room.now, subnet, 0x0100, 0x0001, node.keys.device, page, ttl=3)
    peer.keys.remote = lambda address: node.keys.device
    room.run(1500)
    seen: list[tuple[int, bytes]] = []
    for _, _, kind, data in room.air:
        if (kind, data) not in seen:
            seen.append((kind, data))
    path = tmp_path / "ours.pcap"
    capture(path, seen)
    frames = dissect(path, 0x0100)
    said = [data for kind, data in seen if kind == AD_BEACON]
    assert said == [beacon.secure(subnet.key, 0, IV_INDEX)]
    assert find(frames, "beacon.ivindex") == [str(IV_INDEX)]
    messages = [frame for frame, (kind, _) in zip(frames, seen, strict=True) if kind == AD_MESSAGE]
    assert all(find(frame, "btmesh.src") for frame in messages), "a network PDU was not decrypted"
    decrypted = find(messages, "btmesh.access.decrypted")
    assert decrypted == ["52:82:0a:66:08", page.hex(":")], "the second one was in segments"
    assert find(messages, "btmesh.property.temperature") == ["2150"]
    assert find(messages, "btmesh.model.config_composition_data_status.sig_model")
    assert find(messages, "btmesh.blockack") == ["7"], "the peer's acknowledgment of three segments"


def test_it_reads_how_we_make_a_friend_and_leave_it(tmp_path: Path) -> None:
    """What goes under the network's keys; the keys of a friendship it does not derive."""
    room, _, friend, lpn = friend_cases.pair(Block)
    role = lpn.low_power
    seen: list[tuple[int, bytes]] = []

    def hears(one: object, other: object, data: bytes) -> bool:
        if (AD_MESSAGE, data) not in seen:
            seen.append((AD_MESSAGE, data))
        return True

    room.hears = hears
    role.end(room.now)
    room.until(lambda: role.friend)
    path = tmp_path / "friends.pcap"
    capture(path, seen)
    frames = dissect(path, 0x0100, 5)
    assert find(frames, "btmesh.cntr.opcode")[:4] == ["5", "6", "3", "4"], (
        "Clear, its Confirm, Request, Offer"
    )
    for name, value in (
        ("criteria.minqueuesizelog", 5),
        ("receivedelay", 100),
        ("polltimeout", 600),
        ("numelements", 1),
        ("receivewindow", 150),
        ("queuesize", 32),
        ("subscriptionlistsize", 8),
        ("rssi", 127),
    ):
        assert find(frames, f"btmesh.cntr.{name}") == [str(value)], name
    assert friend.friend.counts["established"] == 2
