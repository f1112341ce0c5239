"""The gateway brings its mesh's nodes to what is desired: over relays, once in effect, over restarts, full disks."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from fieldline_gateway.mesh import bridge as bridges
from fieldline_gateway.mesh import config_client, configure, network
from fieldline_gateway.mesh.config_messages import Page, app_key, default_ttl, heartbeat, relay
from fieldline_gateway.mesh.network import GATEWAY, Member
from fieldline_wire.errors import PeerError
from fieldline_wire.mesh.models.opcodes import STORAGE_FAILURE
from fieldline_wire.mesh.settings import RECORD
from tests.gateway.mesh_line import FIRST, Line, bare
from tests.gateway.test_mesh_links import downlink, running, until, uplink
from tests.wire.mesh.pair import MemoryStore


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridges, "SCAN_S", 0.05)
    monkeypatch.setattr(configure, "FIRST_PAUSE_S", 0.1)
    monkeypatch.setattr(configure, "LONGEST_PAUSE_S", 0.5)
    monkeypatch.setattr(config_client, "ANSWER_S", 1.0)


async def test_a_line_is_configured_outwards_each_relay_opening_the_way_to_the_next(tmp_path: Path) -> None:
    line = Line(tmp_path / "mesh", 4)
    async with line.room, running(line.links):
        await until(line.all_set)
        for number, far in enumerate(line.fars):
            node = far.node
            assert node.keys.app(0) is not None and far.model.state.binds == [0]
            assert node.settings.heartbeats.dst == GATEWAY and node.settings.heartbeats.count == -1
            await until(lambda number=number: list(line.state(number).hops)[-1:] == [number + 1])  # type: ignore[misc]
            await until(lambda node=node, number=number: node.settings.default_ttl == max(2, number + 2))  # type: ignore[misc]
            await until(lambda node=node: node.settings.heartbeats.ttl == node.settings.default_ttl)  # type: ignore[misc]
        line.fars[3].say(uplink(0))
        await until(lambda: line.heard)
        assert line.heard == [("mesh:0103", uplink(0))]
        assert line.links.send("mesh:0103", downlink(0))
        await until(lambda: line.fars[3].came)


async def test_what_a_node_confirmed_is_not_asked_again_by_the_next_gateway(tmp_path: Path) -> None:
    line = Line(tmp_path / "mesh", 2)
    async with line.room:
        async with running(line.links):
            await until(line.all_set)
            await until(lambda: all(line.state(number).hops for number in range(2)))
            await until(lambda: line.all_set() and all(len(line.state(n).hops) == 8 for n in range(2)))
            saved = (tmp_path / "mesh" / "members.json").read_text()  # before its orderly end
            for number in range(2):
                kept = json.loads(saved)[f"{FIRST + number:04x}"]["confirmed"]
                assert kept == line.state(number).known.confirmed
        line.links = again = line.make_links()
        async with running(again):
            await until(lambda: all(line.state(number).hops for number in range(2)))
            await asyncio.sleep(0.5)
            assert again.manager.client.counts["asked"] == 0
        entry = json.loads(saved)["0100"]["confirmed"]
        assert entry["composition"] == "0" and entry["heartbeat"].startswith("0001:1:")
        assert network.load(line.folder).app_key.hex() not in saved


async def test_a_member_with_another_key_at_the_same_address_is_begun_anew(tmp_path: Path) -> None:
    line = Line(tmp_path / "mesh", 1)
    async with line.room, running(line.links):
        await until(line.all_set)
        mesh = network.load(line.folder)
        network.save(line.folder, mesh.with_member(Member(FIRST, b"other key, other")))
        await until(lambda: line.state(0).error.endswith("no answer"))
        line.node(0).settings.device_key = b"other key, other"
        bare(line.node(0))
        await until(line.all_set)
        assert line.node(0).keys.app(0) is not None


async def test_a_member_that_is_added_while_the_gateway_runs_is_taken_up(tmp_path: Path) -> None:
    line = Line(tmp_path / "mesh", 2)
    mesh = network.load(line.folder)
    network.save(line.folder, mesh.without(FIRST + 1))
    async with line.room, running(line.links):
        await until(line.all_set)
        assert line.node(1).keys.app(0) is None
        network.save(line.folder, mesh)
        await until(lambda: FIRST + 1 in line.links.manager.states and line.all_set())
        network.save(line.folder, mesh.without(FIRST))
        await until(lambda: FIRST not in line.links.manager.states)


async def test_a_node_that_starts_anew_without_its_settings_is_set_again(tmp_path: Path) -> None:
    line = Line(tmp_path / "mesh", 1)
    async with line.room, running(line.links):
        await until(lambda: line.all_set() and line.state(0).hops)
        beats = line.node(0).settings.heartbeats
        beats.dst = beats.count = 0
        line.node(0).settings.default_ttl = 9
        await until(lambda: line.node(0).settings.default_ttl != 9)
        await until(lambda: beats.dst == GATEWAY)


async def test_one_odd_heartbeat_does_not_change_where_a_node_is_drawn(tmp_path: Path) -> None:
    line = Line(tmp_path / "mesh", 1)
    async with line.room, running(line.links):
        await until(lambda: line.links.manager.states)
        line.state(0).hops.extend((2, 2, 2, 2, 5))
        row = line.links.operations.nodes()[0]
        assert (row["hops"], row["usual_hops"]) == (5, 2)


async def test_a_refusal_is_told_and_asked_again_ever_more_rarely(tmp_path: Path) -> None:
    line = Line(tmp_path / "mesh", 1, raw=False)
    line.node(0).keys.app_keys[0].key = (
        line.node(0).keys.app_keys[0].key.__class__(line.node(0).aes, b"another AppKey..")
    )
    line.node(0).save()
    async with line.room, running(line.links):
        await until(lambda: "another AppKey" in line.state(0).error)
        asked = line.links.manager.client.counts["asked"]
        await asyncio.sleep(1.5)
        assert line.links.manager.client.counts["asked"] - asked <= 6
        rows = line.links.operations.nodes()
        assert rows[0]["error"] == "app_key: it has another AppKey under this index"
        line.node(0).keys.app_keys.clear()
        line.node(0).save()
        await until(lambda: not line.state(0).error)


async def test_a_node_whose_flash_takes_nothing_is_told_of_and_set_when_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(store: MemoryStore, record: int, data: bytes) -> int | None:
        return STORAGE_FAILURE if record == RECORD else save(store, record, data)

    save = MemoryStore.save
    line = Line(tmp_path / "mesh", 1)
    monkeypatch.setattr(MemoryStore, "save", refuse)
    async with line.room, running(line.links):
        await until(lambda: line.state(0).error == "app_key: it could not store it")
        assert line.node(0).keys.app(0) is None, "it has not what the next start would not have"
        assert line.links.operations.nodes()[0]["error"] == line.state(0).error
        monkeypatch.setattr(MemoryStore, "save", save)
        await until(lambda: line.all_set() and not line.state(0).error)


async def test_where_the_disk_is_full_members_are_set_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(tmp_path / "mesh", 1)
    replace_file = network.replace_file

    def full(path: Path, data: bytes) -> None:
        if path.name == "members.json":
            raise OSError(28, "No space left on device")
        replace_file(path, data)

    monkeypatch.setattr("fieldline_gateway.mesh.book.replace_file", full)
    async with line.room:
        async with running(line.links):
            await until(line.all_set)
        assert not (tmp_path / "mesh" / "members.json").exists()
        monkeypatch.undo()
        line.links = line.make_links()
        async with running(line.links):
            await until(lambda: line.all_set() and (tmp_path / "mesh" / "members.json").exists())


@pytest.mark.parametrize(
    "spoiled",
    [b"", b"{", b"[]", b'{"0100": {}}', b'{"0100": null}', pytest.param(os.urandom(50), id="random")],
)
async def test_a_damaged_book_is_begun_anew(tmp_path: Path, spoiled: bytes) -> None:
    line = Line(tmp_path / "mesh", 1)
    (tmp_path / "mesh" / "members.json").write_bytes(spoiled)
    async with line.room, running(line.links):
        await until(line.all_set)


def test_an_answer_is_judged_by_what_was_asked() -> None:
    assert app_key(bytes(16)).judge(bytes(4)) == ""
    assert app_key(bytes(16)).judge(bytes((0, 1, 0, 0))) is None, "of another key"
    assert "no room" in str(app_key(bytes(16)).judge(bytes((5, 0, 0, 0))))
    assert app_key(bytes(16)).judge(b"") is None
    assert default_ttl(1).payload[-1] == 2, "1 is forbidden"
    assert default_ttl(4).judge(b"\4") == "" and default_ttl(4).judge(b"\5")
    assert relay(True, 1, 1).judge(b"\1\x09") == "" and relay(True, 1, 1).judge(b"\2\0") == "it cannot relay"
    assert relay(False, 1, 1).judge(b"\2\0") == ""
    said = heartbeat(1, 7, 5, 1).payload[2:]
    assert heartbeat(1, 7, 5, 1).judge(b"\0" + said) == "" and heartbeat(1, 7, 5, 1).judge(b"\4" + said)


def test_a_composition_is_read_or_refused() -> None:
    page = Page.from_bytes(bytes(10) + bytes.fromhex("0000 01 01 0000 ffff0100 0000 00 00"))
    assert page.models == ((b"\0\0", b"\xff\xff\1\0"), ())
    for spoiled in (b"", bytes(9), bytes(12), bytes(10) + bytes.fromhex("0000 02 00 0000")):
        with pytest.raises(PeerError):
            Page.from_bytes(spoiled)
