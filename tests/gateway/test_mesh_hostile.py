"""What others say on air, and nodes as answers, in any form: it is passed over, and nothing is lost by it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fieldline_gateway.mesh import network
from fieldline_gateway.mesh.config import MeshConfig
from fieldline_gateway.mesh.config_messages import (
    Page,
    app_key,
    bind,
    composition,
    default_ttl,
    heartbeat,
    relay,
)
from fieldline_gateway.mesh.links import MeshLinks
from fieldline_gateway.mesh.network import GATEWAY, Member
from fieldline_gateway.mesh.provisioning import MAX_DEVICES
from fieldline_wire.errors import PeerError
from fieldline_wire.mesh.advertiser import AD_BEACON, AD_MESSAGE, AD_PB_ADV
from fieldline_wire.mesh.announce import Unprovisioned
from fieldline_wire.mesh.network import NetworkPdu
from fieldline_wire.mesh.transport import REMOTE_KEY, Access
from tests.fakes.mesh_room import LiveRoom
from tests.gateway.test_mesh_links import running, until
from tests.gateway.test_mesh_process import Unmade
from tests.wire.mesh.pair import APP_KEY, IV_INDEX, NET_KEY, device_key

QUESTIONS = [
    composition(), app_key(bytes(16)), bind(0x100, b"\xff\xff\1\0"), default_ttl(4), heartbeat(1, 7, 4, 1),
    relay(True, 1, 1),
]  # fmt: skip
pdus = st.builds(
    NetworkPdu, st.integers(0, 1), st.integers(0, 127), st.integers(0, 0xFFFFFF), st.integers(1, 0x7FFF),
    st.integers(1, 0xFFFF), st.just(IV_INDEX), st.binary(min_size=1, max_size=16),
)  # fmt: skip


def made(folder: Path) -> MeshLinks:
    members = (Member(0x0100, device_key(0x0100), "0102030405060708"),)
    network.save(folder, network.Network(NET_KEY, APP_KEY, IV_INDEX, b"d" * 16, members))
    links = MeshLinks(folder, MeshConfig(bridges=("/nowhere",)), lambda link, sealed: None)
    mesh = network.load(folder)
    links.station.take_up(mesh)
    links.manager.take_up(mesh)
    return links


@given(st.binary(max_size=400))
def test_any_composition_is_read_or_refused(data: bytes) -> None:
    try:
        page = Page.from_bytes(data)
    except PeerError:
        return
    assert sum(len(model) for models in page.models for model in models) + 10 + 4 * len(page.models) == len(
        data
    )


@given(st.sampled_from(QUESTIONS), st.binary(max_size=40))
def test_any_answer_is_right_wrong_or_passed_over(question: object, data: bytes) -> None:
    verdict = question.judge(data)  # type: ignore[attr-defined]
    assert verdict is None or isinstance(verdict, str)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from((AD_MESSAGE, AD_BEACON, AD_PB_ADV)), st.binary(min_size=1, max_size=29))
    ),
    st.lists(pdus),
    st.lists(st.tuples(st.integers(1, 0x7FFF), st.binary(max_size=40))),
)
def test_nothing_that_is_heard_raises(
    tmp_path_factory: pytest.TempPathFactory,
    adverts: list[tuple[int, bytes]],
    heard: list[NetworkPdu],
    answers: list[tuple[int, bytes]],
) -> None:
    folder = tmp_path_factory.mktemp("mesh")

    async def scenario() -> None:
        links = made(folder)
        for kind, data in adverts:
            links.station._advert("x", kind, data, None)
        for pdu in heard:
            links.station.ears.take(pdu, 0)
        for src, payload in answers:
            links.manager.client._came(0, Access(src, GATEWAY, 4, 0, REMOTE_KEY, payload, b""))
        links.manager._look(1)
        links.operations.summary()
        assert len(links.operations._listening.since(0)) <= 1000

    asyncio.run(scenario())


async def test_a_flood_of_devices_takes_no_more_room(tmp_path: Path) -> None:
    links = made(tmp_path)
    for number in range(3 * MAX_DEVICES):
        links.station._advert("x", AD_BEACON, Unprovisioned(number.to_bytes(16, "big")).to_bytes(), None)
    assert len(links.provisioning.devices()) == MAX_DEVICES


async def test_where_the_disk_is_full_no_device_gets_the_networks_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.save(tmp_path / "mesh", network.Network(NET_KEY, APP_KEY, IV_INDEX, b"d" * 16))
    room = LiveRoom()
    bridge = room.add_bridge()
    device = Unmade(room)
    links = MeshLinks(tmp_path / "mesh", MeshConfig(bridges=(bridge.path,)), lambda link, sealed: None)
    async with room, running(links):
        await until(lambda: links.station.open)
        replace_file = network.replace_file

        def full(path: Path, data: bytes) -> None:
            if path.name == network.FILE:
                raise OSError(28, "No space left on device")
            replace_file(path, data)

        monkeypatch.setattr(network, "replace_file", full)
        links.provisioning.start(device.uuid, "", b"")
        await until(lambda: links.provisioning.status()["done"])
        assert "not stored, so not given" in links.provisioning.status()["error"]
        assert not device.joined and network.load(tmp_path / "mesh").members == ()
        monkeypatch.undo()
        device.again()
        links.provisioning.start(device.uuid, "", b"")
        await until(lambda: device.joined and links.provisioning.status()["done"])
        assert links.provisioning.status()["error"] == ""
