"""`fieldline gateway run` as a user starts it: a node on a serial line, the own listener, kills and stops."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from tests.fakes.gateway_node import FakeNode, settled

from fieldline_gateway.control import ask
from fieldline_gateway.errors import UsageError
from fieldline_gateway.ingest.ccm import AesCcm
from fieldline_gateway.records import LIVE
from fieldline_wire.messages import ACK_HOLD, Ack, decode
from fieldline_wire.seal import open_sealed, peek
from fieldline_wire.serial import KIND_SEALED, Reader, encode

FIELDLINE = (sys.executable, "-m", "fieldline_cli.main", "gateway")


class Wire:
    """A node's end of a serial line: a pty behind a symlink, as a USB port comes and goes."""

    def __init__(self, path: Path, node: FakeNode) -> None:
        self.path = path
        self.node = node
        self.heard: list[object] = []
        self._master = -1

    def plug(self) -> None:
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self.path.symlink_to(os.ttyname(slave))
        self._slave = slave
        self._reader = Reader()
        asyncio.get_running_loop().add_reader(self._master, self._read)

    def unplug(self) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        self.path.unlink()
        os.close(self._master)
        os.close(self._slave)

    def say(self, *sealed: bytes) -> None:
        os.write(self._master, b"\0" + b"".join(encode(KIND_SEALED, one) for one in sealed))

    def acknowledged(self, first: int, last: int) -> bool:
        return any(
            isinstance(ack, Ack) and ack.cls == LIVE and settled(ack, first, last)
            for ack in self.heard
            if ack.stream == self.node.stream  # type: ignore[attr-defined]
        )

    def _read(self) -> None:
        for _, sealed in self._reader.feed(os.read(self._master, 4096)):
            header = peek(sealed)
            if header.epoch == self.node.epoch:
                self.heard.append(decode(open_sealed(AesCcm(self.node.key), header, sealed)))


class Gateway:
    """The process."""

    def __init__(self, folder: Path, port: Path) -> None:
        self.config = folder / "gateway.toml"
        self._socket = folder / "data" / "control.sock"
        self.config.write_text(f'[serial]\nports = ["{port}"]\n[listener]\nbind = "127.0.0.1:0"\n')
        self.log = folder / "log"
        self._process: asyncio.subprocess.Process | None = None

    async def command(self, *words: str, stdin: bytes = b"") -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *FIELDLINE, words[0], "-c", str(self.config), *words[1:],
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate(stdin)
        return process.returncode or 0, said.decode()

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *FIELDLINE, "run", "-c", str(self.config), stdout=log, stderr=log
            )
        await until(lambda: self.status() != {})

    async def end(self, how: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(how)
        return await asyncio.wait_for(process.wait(), 20)

    def status(self) -> dict[str, Any]:
        try:
            told: dict[str, Any] = ask(self._socket, "status")
        except UsageError:
            return {}
        return told


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[tuple[Gateway, Wire, FakeNode]]:
    node = FakeNode()
    wire = Wire(folder / "ttyNODE", node)
    gateway = Gateway(folder, wire.path)
    wire.plug()
    try:
        yield gateway, wire, node
    finally:
        await gateway.end(signal.SIGKILL)
        wire.unplug()


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.02)


async def linked(gateway: Gateway) -> None:
    await until(lambda: any(link["open"] for link in gateway.status()["links"]))


async def enrolled(gateway: Gateway, node: FakeNode) -> None:
    code, said = await gateway.command(
        "enroll", node.id.hex(), "--name", "fan", stdin=node.key.hex().encode() + b"\n"
    )
    assert (code, said) == (0, f"{node.id.hex()}: enrolled\n")


async def test_a_reading_is_stored_acknowledged_and_delivered_and_a_kill_changes_nothing(
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as (gateway, wire, node):
        await enrolled(gateway, node)
        await gateway.start()
        await linked(gateway)
        wire.say(node.hello([(LIVE, 4, 1)], uptime=100), node.report(1, 3))
        await until(lambda: wire.acknowledged(1, 3))
        assert await gateway.end(signal.SIGKILL) != 0

        await gateway.start()
        await linked(gateway)
        wire.heard.clear()
        wire.say(node.report(1, 3), node.report(4, 2))
        await until(lambda: wire.acknowledged(1, 5))
        (told,) = gateway.status()["nodes"]
        assert (told["name"], told["stream"], told["classes"]["live"]) == (
            "fan",
            7,
            {"last": 5, "stored": 5, "gaps": 0},
        )
        assert told["readings"][0]["value"] == 0.5 and told["readings"][0]["unit"] == "rpm"
        await until(lambda: gateway.status()["sinks"][0]["lag"] == 0)
        assert (await delivered(gateway))["number"] == 5
        assert await gateway.end(signal.SIGTERM) == 0
        assert "gateway-stopped" in gateway.log.read_text()
        assert node.key.hex() not in gateway.log.read_text()


async def delivered(gateway: Gateway) -> dict[str, Any]:
    """The last reading that the listener keeps for who comes late."""
    got: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)

    def on_message(_: object, __: object, message: paho.MQTTMessage) -> None:
        if message.topic.endswith("/live") and not got.done():
            loop.call_soon_threadsafe(got.set_result, json.loads(message.payload))

    client.on_message = on_message
    client.on_connect = lambda *_: client.subscribe("fieldline/#", 1)
    host, _, port = gateway.status()["listener"]["address"].rpartition(":")
    client.connect_async(host, int(port))
    client.loop_start()
    try:
        return await asyncio.wait_for(got, 20)
    finally:
        client.disconnect()
        client.loop_stop()


async def test_a_line_that_is_pulled_and_plugged_and_a_node_enrolled_while_it_runs(tmp_path: Path) -> None:
    async with site(tmp_path) as (gateway, wire, node):
        await gateway.start()
        await linked(gateway)
        wire.say(node.report(1))
        await until(lambda: gateway.status()["refused"] == {"unknown-node": 1})
        await enrolled(gateway, node)
        await until(lambda: gateway.status()["nodes"])
        wire.say(node.report(1))
        await until(lambda: wire.acknowledged(1, 1))
        wire.unplug()
        await until(lambda: not any(link["open"] for link in gateway.status()["links"]))
        wire.plug()
        await linked(gateway)
        wire.say(node.report(2))
        await until(lambda: wire.acknowledged(1, 2))


async def test_a_second_gateway_in_one_folder_is_refused(tmp_path: Path) -> None:
    async with site(tmp_path) as (gateway, _, _):
        await gateway.start()
        code, said = await gateway.command("run")
        assert code == 2 and "another gateway runs" in said


async def test_a_disk_without_room_makes_nodes_wait_and_goes_on(tmp_path: Path) -> None:
    """A store folder that may not be written stands for a file system that turned read-only."""
    async with site(tmp_path) as (gateway, wire, node):
        await enrolled(gateway, node)
        await gateway.start()
        await linked(gateway)
        folder = tmp_path / "data" / "store"
        aside = tmp_path / "aside"
        folder.rename(aside)
        wire.say(node.report(1))
        await until(lambda: gateway.status()["store"]["held"])
        wire.say(node.report(2))
        await until(lambda: any(isinstance(ack, Ack) and ack.status == ACK_HOLD for ack in wire.heard))
        assert not wire.acknowledged(1, 1)
        aside.rename(folder)
        await until(lambda: not gateway.status()["store"]["held"])
        wire.say(node.report(2))
        await until(lambda: wire.acknowledged(1, 2))
