"""A gateway's process with a node's serial line, as a user has them: for tests of the whole program."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fieldline_gateway.control import ask
from fieldline_gateway.errors import UsageError
from fieldline_gateway.records import LIVE
from fieldline_host.ccm import AesCcm
from fieldline_wire.messages import Ack, decode
from fieldline_wire.seal import open_sealed, peek
from fieldline_wire.serial import KIND_SEALED, Reader, encode
from tests.fakes.gateway_node import FakeNode, settled

FIELDLINE = (sys.executable, "-m", "fieldline_cli.main", "gateway")


class Wire:
    """A node's end of a serial line: a pty behind a symlink, as a USB port comes and goes."""

    def __init__(self, path: Path, node: FakeNode) -> None:
        self.path = path
        self.node = node
        self.heard: list[object] = []
        self.master = -1

    def plug(self) -> None:
        self.master, slave = os.openpty()
        tty.setraw(slave)
        self.path.symlink_to(os.ttyname(slave))
        self._slave = slave
        self._reader = Reader()
        asyncio.get_running_loop().add_reader(self.master, self._read)

    def unplug(self) -> None:
        asyncio.get_running_loop().remove_reader(self.master)
        self.path.unlink()
        os.close(self.master)
        os.close(self._slave)

    def say(self, *sealed: bytes) -> None:
        os.write(self.master, b"\0" + b"".join(encode(KIND_SEALED, one) for one in sealed))

    def acknowledged(self, first: int, last: int) -> bool:
        return any(
            settled(ack, first, last)
            for ack in self.heard
            if isinstance(ack, Ack) and ack.cls == LIVE and ack.stream == self.node.stream
        )

    def _read(self) -> None:
        for _, sealed in self._reader.feed(os.read(self.master, 4096)):
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
            *FIELDLINE, *words, "-c", str(self.config),
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
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.02)


async def linked(gateway: Gateway) -> None:
    await until(lambda: any(link["open"] for link in gateway.status()["links"]))


async def enrolled(gateway: Gateway, node: FakeNode) -> None:
    code, said = await gateway.command(
        "enroll", node.id.hex(), "--name", "fan", stdin=node.key.hex().encode() + b"\n"
    )
    assert (code, said) == (0, f"{node.id.hex()}: enrolled\n")
