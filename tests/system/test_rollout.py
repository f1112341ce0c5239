"""A release's whole way to emulated boards (SIMULATED): repository, rollout, gateway's process, the built firmware.

Rules: each process is one that a user would start; the gateway is killed while nodes receive. The second release
crashes at its start: the canary goes back by itself, the rollout stops, nobody else has had it.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fieldline_boards.build import build
from fieldline_boards.catalog import load_board
from fieldline_boards.emulated.vm import VmBoard
from fieldline_boards.identity import make_identity
from fieldline_gateway.control import ask
from fieldline_gateway.errors import UsageError
from fieldline_harness.gateway_process import GatewayProcess
from fieldline_host.chain import verify
from fieldline_ota import tree
from fieldline_wire.update import codes
from tests.ota.host.tuf_site import served
from tests.ota.releases import Repo
from tests.ota.rollout_desk import Desk, cheap_secrets

WITHIN_S = 240.0
KEY = bytes(range(16))


def image(folder: Path, version: str, change: Callable[[Path], None] = lambda folder: None) -> bytes:
    """The image of a release build that calls itself `version`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.metadata, "version", lambda name: version)
        build(load_board("pico_w"), folder, development=False)
    change(folder)
    return tree.image_of(folder)


def crash(folder: Path) -> None:
    (folder / "fieldline_board.mpy").write_bytes(b"M\x06\x00\x1f")  # no module


class Field:
    """Boards on serial lines, a gateway's process, a repository behind HTTP, a desk."""

    def __init__(self, folder: Path, repo: Repo, url: str, count: int) -> None:
        self.folder = folder
        spec = load_board("pico_w")
        build(spec, folder / "firmware", development=False)
        self.boards: dict[bytes, VmBoard] = {}
        for number in range(1, count + 1):
            node = bytes(6) + b"\xfe" + bytes([number])
            home = folder / f"board-{number}"
            (home / "files").mkdir(parents=True)
            (home / "files" / "identity.bin").write_bytes(make_identity(node, 0, KEY))
            (home / "files" / "trust.bin").write_bytes(repo.trust(node))
            self.boards[node] = VmBoard(spec, home, unique_id=node, files=folder / "firmware")
        ports = json.dumps([board.port for board in self.boards.values()])
        self.gateway = GatewayProcess(
            folder / "gateway",
            f'[serial]\nports = {ports}\n[listener]\nbind = "127.0.0.1:0"\n'
            f'[updates]\nrepository = "{url}"\nroot = "{repo.root_file}"\ncheck_s = 10\nshare_percent = 90\n',
        )
        self.gateway.enroll(dict.fromkeys(self.boards, KEY))
        desk = Desk(folder, repo, self.gateway.data / "control.sock")
        self.ota, self.audit = desk.ota, desk.audit

    def nodes(self) -> list[dict[str, Any]]:
        """What the gateway knows of their updates; nothing while it starts."""
        try:
            told: list[dict[str, Any]] = ask(self.gateway.data / "control.sock", "updates.list")["nodes"]
        except UsageError:
            return []
        return told

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not true():
                await asyncio.sleep(0.1)


@pytest.mark.soak  # three minutes: run it with -m soak
@pytest.mark.vm
@pytest.mark.timeout(900)
def test_a_good_release_arrives_and_a_crashing_one_stops_at_the_canary(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "repo", datetime.now(UTC))
    repo.root("ann", "ben", "cay")
    good = image(tmp_path / "good", "0.2.0")
    repo.publish_image(2, good, "0.2.0")
    repo.publish_image(3, image(tmp_path / "bad", "0.3.0", crash), "0.3.0")
    repo.publish_image(4, good, "0.2.0")
    with served(repo.folder) as url, cheap_secrets():
        asyncio.run(_scenario(Field(tmp_path, repo, url, 2)))


async def _scenario(field: Field) -> None:
    async with AsyncExitStack() as stack:
        await field.gateway.start()
        stack.push_async_callback(field.gateway.stop)
        for board in field.boards.values():
            await stack.enter_async_context(board)
            await board.power.on()
        await field.until(lambda: len(field.nodes()) == len(field.boards))
        rings = ("--ring", "50%", "--ring", "100%", "--soak", "0")
        await field.ota("rollout", "start", "pico_w", "2", "--no-back", *rings)
        carried = asyncio.create_task(field.ota("rollout", "run", "1", "--interval", "0.5"))
        await field.until(lambda: any(node["percent"] > 20 for node in field.nodes()))
        await field.gateway.kill()
        await field.gateway.start()
        await carried
        assert [node["running"] for node in field.nodes()] == [2, 2]

        await field.ota("rollout", "start", "pico_w", "3", "--back", "4", *rings)
        said = await field.ota("rollout", "run", "2", "--interval", "0.5", status=1)
        assert "is returned: ring 50%: 1 of 1 nodes failed" in said
        assert [node["running"] for node in field.nodes()] == [2, 2]
        assert sorted(node["reason"] for node in field.nodes())[0] == codes.TRIES_USED
        assert not verify(field.audit).faults
        nodes = ask(field.gateway.data / "control.sock", "status")["nodes"]
        assert len(nodes) == len(field.boards)
