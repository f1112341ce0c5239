"""A gateway with a mesh, whole: configured by the commands, nodes behind a proxy, readings on disk, Acks few."""

from __future__ import annotations

import asyncio
import json
import os
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from fieldline_cli.main import main
from fieldline_gateway import config
from fieldline_gateway.app import Gateway
from fieldline_gateway.cli import show
from fieldline_gateway.control import ask
from fieldline_gateway.folder import registry_path
from fieldline_gateway.ingest import downlinks
from fieldline_gateway.ingest.downlinks import DEAR_REPORTS
from fieldline_gateway.mesh import network
from fieldline_gateway.records import LIVE
from fieldline_gateway.registry import Registry
from fieldline_host.ccm import AesCcm
from fieldline_host.tomlfile import ConfigError
from fieldline_wire.mesh.keys import AppKey, ApplicationKey
from fieldline_wire.messages import Ack, Message, decode
from fieldline_wire.seal import open_sealed, peek
from tests.fakes.aes import Block
from tests.fakes.gateway_node import FakeNode
from tests.fakes.mesh_room import LiveRoom
from tests.gateway.test_mesh_links import Far, until

PROXY = "AA:BB:CC:DD:EE:FF"


def configured(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(f'[mesh]\nproxies = ["{PROXY.lower()}"]\n[listener]\nbind = "127.0.0.1:0"\n')
    return path


def joined(record: dict[str, str]) -> Far:
    """A node that got this record in the jig."""
    far = Far(int(record["address"], 16))
    node = far.node
    net, app = bytes.fromhex(record["net_key"]), bytes.fromhex(record["app_key"])
    node.join(0, int(record["address"], 16), bytes.fromhex(record["device_key"]), net, 0, 0)
    node.keys.app_keys.append(AppKey(0, 0, ApplicationKey(Block, app)))
    node.save()
    return far


async def test_readings_come_through_the_mesh_and_one_ack_tells_of_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, device = configured(tmp_path), FakeNode(1)
    assert main(["mesh", "new", "-c", str(path)]) == 0
    records = []
    for name in (device.id.hex(), "0102030405060708"):
        capsys.readouterr()
        assert main(["mesh", "add", "-c", str(path), name]) == 0
        records.append(json.loads(capsys.readouterr().out))
    settings = config.load(path)
    registry = Registry(registry_path(settings))
    registry.open()
    registry.enroll(device.id, "fan", 0, device.key, 1)
    registry.close()
    far, proxy = joined(records[0]), joined(records[1])
    room = LiveRoom(far.node, proxy.node)
    room.add_proxy(PROXY, proxy.node)
    backends = room.backends()
    for kind in ("client", "scanner", "adapter"):
        backend = getattr(backends, kind)
        monkeypatch.setattr(
            f"bleak.get_platform_{kind}_backend_type", lambda backend=backend: (backend, "fake")
        )

    def told() -> list[Message]:
        opened = [open_sealed(AesCcm(device.key), peek(one), one) for one in far.came]
        return [message for message in map(decode, opened) if isinstance(message, Ack)]

    async with room, Gateway(settings).running():
        await until((tmp_path / "data" / "control.sock").exists)
        far.say(device.hello([(LIVE, 1, 1)]))
        await until(told)  # at once: the session waits for it
        hello = len(told())
        for number in range(1, DEAR_REPORTS + 1):
            far.say(device.report(number))
        await until(lambda: len(told()) > hello)
        await asyncio.sleep(0.3)
        acks = told()[hello:]
        assert len(acks) == 1 and acks[0].next == DEAR_REPORTS + 1  # type: ignore[attr-defined]
        monkeypatch.setattr(downlinks, "DEAR_MS", 500)
        far.say(device.report(DEAR_REPORTS + 1))
        await until(lambda: len(told()) == hello + 2)
        assert told()[-1].next == DEAR_REPORTS + 2  # type: ignore[attr-defined]
        said = await asyncio.to_thread(ask, settings.control_socket, "status")
        assert said["nodes"][0]["classes"]["live"]["stored"] == DEAR_REPORTS + 1
        show(said, Console(file=(words := StringIO())))
        assert "mesh: 2 of 2 nodes heard" in words.getvalue()
        links = {link["link"]: link for link in said["links"]}
        assert links[f"mesh:{records[0]['address']}"]["messages_in"] == DEAR_REPORTS + 2
        assert links[f"proxy {PROXY}"]["node"] == records[1]["address"]


def test_the_commands_say_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = configured(tmp_path)
    words = ["-c", str(path)]
    assert main(["mesh", "nodes", *words]) == 1 and "fieldline mesh new" in capsys.readouterr().err
    assert main(["gateway", "check", *words]) == 1 and "fieldline mesh new" in capsys.readouterr().err
    assert main(["mesh", "new", *words]) == 0
    assert main(["mesh", "new", *words]) == 2 and "there already" in capsys.readouterr().err
    assert main(["mesh", "add", *words, "xyz"]) == 2 and "16 hexadecimal" in capsys.readouterr().err
    capsys.readouterr()
    assert main(["mesh", "add", *words, "--low-power", "0102030405060708"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["low_power"] is True and "friend" not in said
    assert main(["mesh", "add", *words, "0102030405060708"]) == 2
    with pytest.raises(SystemExit):
        main(["mesh", "add", *words, "--low-power", "--friend", "0102030405060709"])
    capsys.readouterr()
    assert main(["mesh", "nodes", *words]) == 0 and "0102030405060708" in capsys.readouterr().out
    assert main(["gateway", "check", *words]) == 0
    assert f"mesh      1 nodes, through {PROXY}" in capsys.readouterr().out
    key = network.load(config.load(path).mesh).net_key.hex()
    assert main(["mesh", "remove", *words, "0999"]) == 2
    assert main(["mesh", "remove", *words, "0100"]) == 0
    assert key not in "".join(capsys.readouterr())
    assert network.load(config.load(path).mesh).members == ()


@pytest.mark.parametrize("proxies", ["[]", '["AA:BB"]', f'["{PROXY}", "{PROXY.lower()}"]', '"AA"'])
def test_a_wrong_proxy_names_its_line(tmp_path: Path, proxies: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(f'[gateway]\nname = "x"\n[mesh]\nproxies = {proxies}\n')
    with pytest.raises(ConfigError, match=r":(3|4): "):
        config.load(path)


def test_keys_are_the_systems_own_random_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", lambda size: b"\x5a" * size)
    path = configured(tmp_path)
    assert main(["mesh", "new", "-c", str(path)]) == 0
    assert network.load(config.load(path).mesh).app_key == b"\x5a" * 16
