"""Twins and commands on real node code: a week away (simulated time), and the gateway killed at random.

Rules: the board is emulated (the official MicroPython VM). A week passes on the gateway's clock of the day
(lossy_gateway.py), not on the node's, which has no power meanwhile. The operator is paho-mqtt at the gateway's
listener.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fieldline_boards.build import build
from fieldline_boards.catalog import load_board
from fieldline_boards.emulated.vm import VmBoard
from fieldline_boards.identity import make_identity
from fieldline_gateway.control import ask
from fieldline_gateway.errors import UsageError
from fieldline_gateway.web.config import tokens_path
from fieldline_gateway.web.tokens import Tokens, digest, new_secret
from fieldline_harness.gateway_process import GatewayProcess
from fieldline_harness.mosquitto import free_port
from fieldline_harness.twin_site import Client
from tests.system.chain import LOSSY

WEEK_S = 7 * 86_400
START_S = 120.0
WAIT_S = 240.0
NODE = bytes(6) + b"\xfe\x01"


class Site:
    """A board, a gateway, an operator."""

    def __init__(self, folder: Path) -> None:
        spec = load_board("pico_w")
        build(spec, folder / "firmware")
        home, self._world = folder / "board", folder / "world"
        (home / "files").mkdir(parents=True)
        self._world.mkdir()
        key = secrets.token_bytes(16)
        (home / "files" / "identity.bin").write_bytes(make_identity(NODE, 0, key))
        self.board = VmBoard(spec, home, unique_id=NODE, files=folder / "firmware")
        self.port = free_port()
        self.gateway = GatewayProcess(
            folder / "gateway",
            f'[serial]\nports = ["{self.board.port}"]\n[listener]\nbind = "127.0.0.1:{self.port}"\n',
            command=LOSSY,
            environment={"FIELDLINE_TEST_CONTROL": str(self._world)},
        )
        self.gateway.enroll({NODE: key})
        self.secret = new_secret()
        Tokens(tokens_path(self.gateway.data), lambda: 0).add("olga", "operator", digest(self.secret))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.start()
        try:
            async with self.board:
                await self.board.power.on()
                yield
        finally:
            await self.gateway.kill()

    async def start(self) -> None:
        await self.gateway.start()
        await self.gateway.until_runs(START_S)

    def pass_time(self, seconds: int) -> None:
        (self._world / "clock.new").write_text(str(seconds))
        (self._world / "clock.new").rename(self._world / "clock")

    async def set(self, **config: int | None) -> int:
        """The operator wishes settings; the version that was accepted."""

        def publish() -> int:
            with Client(self.port, "olga", self.secret) as client:
                said = client.ask(NODE.hex(), "update", {"state": {"desired": {"config": config}}})
                return int(said["version"])

        return await asyncio.to_thread(publish)

    async def ask(self, operation: str, **arguments: Any) -> Any:
        """At the control socket."""
        return await asyncio.to_thread(ask, self.gateway.data / "control.sock", operation, arguments)

    async def boots(self) -> int:
        """How often the node has started, as its messages say."""
        return int((await self.gateway.status())["nodes"][0]["epoch"])

    async def settled(self, jobs: int) -> list[dict[str, Any]]:
        """The jobs, the oldest first, once none waits."""
        found: list[dict[str, Any]] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                while True:
                    found = (await self.ask("job.list"))["jobs"][::-1]
                    if len(found) == jobs and not any(job["waiting"] for job in found):
                        return found
                    await asyncio.sleep(0.1)
        raise AssertionError(f"still waiting: {found}")

    async def twin(self) -> dict[str, Any]:
        """{} while there is none, or no gateway."""
        try:
            told: dict[str, Any] = await asyncio.to_thread(
                ask, self.gateway.data / "control.sock", "twin.get", {"node": NODE.hex()}
            )
        except UsageError:
            return {}
        return told

    async def reported(self, **config: int) -> dict[str, Any]:
        """The twin, once the node has said that these settings are in force and nothing differs."""
        twin: dict[str, Any] = {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                while True:
                    twin = await self.twin()
                    state = twin.get("state", {})
                    if (
                        "delta" not in state
                        and config.items() <= state.get("reported", {}).get("config", {}).items()
                    ):
                        return twin
                    await asyncio.sleep(0.1)
        raise AssertionError(f"it does not come to {config}: {json.dumps(twin)}")


@pytest.mark.system
def test_a_node_that_was_away_for_a_week_comes_to_its_desired_state(tmp_path: Path) -> None:
    async def run() -> None:
        site = Site(tmp_path)
        async with site.running():
            await site.set(sample_ms=200, report_ms=400)
            before = await site.reported(sample_ms=200, report_ms=400)
            await site.board.power.off()
            for day in range(1, 8):
                site.pass_time(day * WEEK_S // 7)
                await site.set(report_ms=400 + day)
                if day in (3, 6):
                    await site.gateway.kill()
                    await site.start()
            site.pass_time(WEEK_S)
            await site.set(sample_ms=None, health_s=120)
            state = (await site.twin())["state"]
            assert state["reported"]["config"]["report_ms"] == 400 and "report_ms" in state["delta"]["config"]
            await site.board.power.on()
            after = await site.reported(report_ms=407, health_s=120)
            assert "sample_ms" not in after["state"]["desired"]["config"]
            assert after["state"]["reported"]["config"].get("sample_ms") != 200, "the board's default again"
            ago = after["metadata"]["reported"]["config"]["report_ms"]["timestamp"]
            ago -= before["metadata"]["reported"]["config"]["report_ms"]["timestamp"]
            assert WEEK_S <= ago < WEEK_S + 3600

    asyncio.run(run())


@pytest.mark.system
def test_the_gateway_killed_at_random_while_a_node_is_being_set(tmp_path: Path) -> None:
    """Wherever the kill falls (written, on its way down, in force, on its way up), the node comes to it."""

    async def run() -> None:
        random = Random(20_261_202)
        site = Site(tmp_path)
        async with site.running():
            await site.set(sample_ms=200, report_ms=400)
            await site.reported(report_ms=400)
            for order in range(1, 9):
                await site.set(report_ms=400 + order)
                await asyncio.sleep(random.uniform(0, 0.4))
                await site.gateway.kill()
                await site.start()
                twin = await site.reported(report_ms=400 + order)
                assert twin["state"]["desired"]["config"] == {"sample_ms": 200, "report_ms": 400 + order}

    asyncio.run(run())


@pytest.mark.system
def test_gateway_and_node_gone_at_once(tmp_path: Path) -> None:
    """Both start anew: what the node answered was lost, and it has the settings. It is told them again."""

    async def run() -> None:
        random = Random(20_261_204)
        site = Site(tmp_path)
        async with site.running():
            await site.set(sample_ms=200, report_ms=400)
            await site.reported(report_ms=400)
            for order in range(1, 5):
                await site.set(report_ms=400 + order)
                await asyncio.sleep(random.uniform(0, 0.4))
                await site.gateway.kill()
                await site.board.power.off()
                await site.board.power.on()
                await site.start()
                await site.reported(report_ms=400 + order)

    asyncio.run(run())


@pytest.mark.system
def test_commands_over_kills_are_carried_out_once_or_expire(tmp_path: Path) -> None:
    """A restart is an effect that can be counted: the node numbers its boots."""

    async def run() -> None:
        random = Random(20_261_203)
        site = Site(tmp_path)
        async with site.running():
            await site.set(sample_ms=200, report_ms=400)
            await site.reported(report_ms=400)
            before = await site.boots()
            for order in range(1, 7):
                job = await site.ask("command.send", target="*", command="restart", once=f"restart-{order}")
                await asyncio.sleep(random.uniform(0, 0.5))
                await site.gateway.kill()
                await site.start()
                again = await site.ask("command.send", target="*", command="restart", once=f"restart-{order}")
                assert again["job"] == job["job"]
                await site.settled(order)
            while (boots := await site.boots()) < before + 6:
                await asyncio.sleep(0.1)  # the last one answers before it restarts
            await asyncio.sleep(2)
            boots = await site.boots()
            assert boots == before + 6, "each was carried out once"
            assert all(job["done"] == 1 for job in await site.settled(6))

            await site.board.power.off()
            for word in ("late", "withdrawn", "good"):
                await site.ask("command.send", target="*", command="restart", once=word,
                               ttl_s=600 if word == "late" else 86_400)  # fmt: skip
            await site.gateway.kill()
            site.pass_time(3600)
            await site.start()
            assert (await site.ask("job.stop", job=8))["cancelled"] == 1
            await site.board.power.on()
            late, withdrawn, good = (await site.settled(9))[6:]
            assert (late["expired"], withdrawn["cancelled"], good["done"]) == (1, 1, 1)
            while await site.boots() < boots + 2:
                await asyncio.sleep(0.1)
            await asyncio.sleep(2)
            assert await site.boots() == boots + 2, "power on, and the one restart"

    asyncio.run(run())
