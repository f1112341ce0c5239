"""The demo's gateway: the process that a user would start, with a configuration file that a user could write.

Rules: nothing of the gateway runs in here; it is started, asked over its control socket, and stopped by SIGTERM,
which it also gets where the demo is killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, Self

from fieldline_gateway.control import ask
from fieldline_gateway.errors import UsageError
from fieldline_harness.children import ends_with_us

STOP_S = 20.0  # the sink drains its window, the store its group
FIELDLINE = (sys.executable, "-m", "fieldline_cli.main")


class GatewayProcess:
    """`fieldline gateway run` while entered. `broker`: an MQTT URL, or None for the gateway's own listener.

    `more`: tables of the configuration beside those.
    """

    def __init__(
        self, folder: Path, ports: list[Path], broker: str | None, listen: str, more: str = ""
    ) -> None:
        self.folder = folder
        self.config = folder / "gateway.toml"
        self.log = folder / "gateway.log"
        self._ports = ports
        self._broker = broker
        self._listen = listen
        self._more = more
        self._process: asyncio.subprocess.Process | None = None

    def write_config(self) -> None:
        """The file that the process is started with."""
        ports = json.dumps([str(port) for port in self._ports])
        text = f'[gateway]\nname = "demo"\n\n[serial]\nports = {ports}\n\n'
        if self._broker:
            text += f'[[sink]]\nkind = "json"\nurl = {json.dumps(self._broker)}\n'
        else:
            text += f"[listener]\nbind = {json.dumps(self._listen)}\n"
        text += f"\n{self._more}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(text)

    async def command(self, part: str, name: str, *words: str) -> str:
        """What `fieldline PART NAME -c CONFIG WORDS` prints. RuntimeError with what it said where it failed."""
        process = await asyncio.create_subprocess_exec(
            *(*FIELDLINE, part, name, "-c", str(self.config), *words),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, said = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"fieldline {part} {name} failed: {said.decode(errors='replace').strip()}")
        return out.decode()

    async def enroll(self, node: bytes, name: str, key: bytes) -> None:
        """Let a node speak; the key goes by standard input. RuntimeError with what the command said."""
        command = (*FIELDLINE, "gateway", "enroll", "-c", str(self.config), node.hex(), "--name", name)
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate(key.hex().encode() + b"\n")
        if process.returncode:
            raise RuntimeError(f"enrolling {name} failed: {said.decode(errors='replace').strip()}")

    async def __aenter__(self) -> Self:
        with self.log.open("ab") as log:
            command = (*FIELDLINE, "gateway", "run", "-c", str(self.config))
            # A group of its own: Ctrl-C reaches the demo alone, which stops the gateway when the boards are off.
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=ends_with_us(),
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        process = self._process
        assert process
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_S)
            except TimeoutError:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()

    @property
    def ended(self) -> int | None:
        """Exit status of a gateway that stopped by itself, else None."""
        return self._process.returncode if self._process else None

    async def status(self) -> dict[str, Any]:
        """What the gateway tells; {} while it does not answer."""
        try:
            told: dict[str, Any] = await asyncio.to_thread(
                ask, self.folder / "data" / "control.sock", "status"
            )
        except UsageError:
            return {}
        return told
