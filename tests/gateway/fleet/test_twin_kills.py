"""A twin over SIGKILLs of the gateway's process, in each step of its way and at random in the middle of them.

The node is simulated: it keeps its settings over everything, as flash does, and greets the gateway anew when it is
told so. The operator is a stock MQTT client. The store's disk forgets what was not synced (lossy_gateway.py).
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fieldline_gateway.control import ask
from fieldline_gateway.web.config import tokens_path
from fieldline_gateway.web.tokens import Tokens, digest, new_secret
from fieldline_harness.gateway_process import GatewayProcess
from fieldline_harness.mosquitto import free_port
from fieldline_harness.twin_site import Client, Wrong
from fieldline_wire.messages import Config, Hello
from tests.fakes.gateway_node import FakeNode
from tests.fakes.gateway_site import Wire, until
from tests.system.chain import LOSSY

START_S = 60.0
SEED = 20_261_201
ORDERS = 12


class Settings:
    """What the node keeps in flash: the settings in force, and how often they were changed."""

    def __init__(self) -> None:
        self.config = Config(0)
        self.changes = 0

    def desire(self, config: Config) -> None:
        """As wire.md 5.11 has it: a version that is not newer changes nothing."""
        if config.version > self.config.version:
            self.config = config
            self.changes += 1


class Site:
    """A gateway on a serial line to one node, and an operator."""

    def __init__(self, folder: Path) -> None:
        self.node = FakeNode()
        self.wire = Wire(folder / "ttyNODE", self.node)
        self.flash = Settings()
        self.port = free_port()
        self.gateway = GatewayProcess(
            folder,
            f'[serial]\nports = ["{self.wire.path}"]\n[listener]\nbind = "127.0.0.1:{self.port}"\n',
            command=LOSSY,
        )
        self.gateway.enroll({self.node.id: self.node.key})
        self.secret = new_secret()
        Tokens(tokens_path(self.gateway.data), lambda: 0).add("olga", "operator", digest(self.secret))

    async def __aenter__(self) -> Site:
        self.wire.plug()
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.gateway.kill()
        self.wire.unplug()

    async def start(self) -> None:
        await self.gateway.start()
        await self.gateway.until_runs(START_S)
        while not any(link["open"] for link in (await self.gateway.status()).get("links", ())):
            await asyncio.sleep(0.01)

    async def killed(self) -> None:
        """SIGKILL and a start; the gateway forgets what it heard and told, the node does not."""
        await self.gateway.kill()
        self.wire.heard.clear()
        await self.start()

    async def operator(self, action: str, **request: Any) -> dict[str, Any]:
        """Ask with MQTT; what /accepted says, Wrong where it is rejected."""

        def ask_() -> dict[str, Any]:
            with Client(self.port, "olga", self.secret) as client:
                return client.ask(self.node.id.hex(), action, request)

        return await asyncio.to_thread(ask_)

    def told(self) -> Config | None:
        """The last settings that the node was told."""
        return next((message for message in reversed(self.wire.heard) if isinstance(message, Config)), None)

    def greets(self) -> None:
        self.wire.say(self.node.hello(config_version=self.flash.config.version))

    def reports(self) -> None:
        config = self.flash.config
        self.wire.say(self.node.seal(Config(config.version, config.settings, reported=True).to_bytes()))

    async def converges(self) -> dict[str, Any]:
        """The node greets, does what it is told and says so, as long as there is a difference; the twin then."""
        async with asyncio.timeout(START_S):
            while "delta" in (twin := await self.operator("get"))["state"]:
                self.greets()
                await asyncio.sleep(0.1)
                if (config := self.told()) is not None:
                    self.flash.desire(config)
                self.reports()
                await asyncio.sleep(0.1)
        return twin


STEPS = ("desired written", "delta sent", "node applied", "reported back", "report on disk")


@pytest.mark.parametrize("step", STEPS)
async def test_a_kill_after_a_step_loses_nothing_and_nothing_comes_twice(step: str, tmp_path: Path) -> None:
    async with Site(tmp_path) as site:
        site.greets()
        wish = {"desired": {"config": {"report_ms": 5000}}}
        if step != "desired written":
            await until(lambda: site.wire.heard)  # it is here, so it is told at once
        accepted = await site.operator("update", state=wish)
        if step == "desired written":
            await site.killed()
        else:
            await until(lambda: site.told() is not None)
            config = site.told()
            if step == "delta sent":
                await site.killed()  # the node took it from the line, and was reset before it kept it
                site.node.reboot()
            else:
                assert config is not None
                site.flash.desire(config)
                if step == "node applied":
                    await site.killed()  # its report was lost with the gateway
                    site.node.reboot()
                else:
                    site.reports()
                    if step == "report on disk":
                        await until(lambda: _converged(site))
                    else:
                        await asyncio.sleep(0.02)  # stored or not, hardly in the twin yet
                    await site.killed()
        twin = await site.operator("get")
        assert twin["state"]["desired"] == wish["desired"], "what was accepted is there"
        assert twin["version"] >= accepted["version"]
        twin = await site.converges()
        assert twin["state"]["reported"]["config"] == {"report_ms": 5000}
        assert (site.flash.config.version, site.flash.changes) == (1, 1), "the node was changed once"
        assert twin["version"] == 2, "one update by the operator, one by the node"
        site.wire.heard.clear()
        site.node.reboot()
        site.greets()
        await until(lambda: any(not isinstance(message, Hello) for message in site.wire.heard))
        await asyncio.sleep(0.1)
        assert site.told() is None, "what it has it is not told again"


def _converged(site: Site) -> bool:
    told = ask(site.gateway.data / "control.sock", "twin.get", {"node": site.node.id.hex()})
    return "delta" not in told["state"]


async def test_kills_at_random_in_the_middle(tmp_path: Path) -> None:
    """Each order is there whole or not at all, is there if it was accepted, and is done once."""
    random = Random(SEED)
    outcomes: set[bool] = set()
    async with Site(tmp_path) as site:
        site.greets()
        loop = asyncio.get_running_loop()
        for order in range(1, ORDERS + 1):
            published = asyncio.Event()
            version = (await _version(site)) or 0
            wish = {"desired": {"config": {"report_ms": 1000 + order}}}
            request = json.dumps({"state": wish, "version": version, "clientToken": f"order-{order}"})

            def order_and_listen(request: str = request, published: asyncio.Event = published) -> bool:
                """Whether it was accepted before the kill."""
                with Client(site.port, "olga", site.secret) as client:
                    client.publish(f"twin/{site.node.id.hex()}/update", request.encode())
                    loop.call_soon_threadsafe(published.set)
                    while True:
                        try:
                            topic, said = client.next(within_s=0.5)
                        except Wrong:
                            return False
                        if topic.endswith("/update/accepted"):
                            return bool(said["clientToken"])

            asking = asyncio.create_task(asyncio.to_thread(order_and_listen))
            await published.wait()
            await asyncio.sleep(random.choice((0, random.uniform(0, 0.01), random.uniform(0, 0.05))))
            if (config := site.told()) is not None:
                site.flash.desire(config)
                site.reports()
                await asyncio.sleep(random.uniform(0, 0.01))
            await site.killed()
            accepted = await asking
            outcomes.add(accepted)
            state = await _state(site)
            there = state.get("desired") == wish["desired"]
            assert there or not accepted, "accepted, and gone"
            if not there:
                await site.operator("update", state=wish, version=await _version(site) or 0)
            site.node.reboot()
            twin = await site.converges()
            assert twin["state"]["reported"]["config"] == {"report_ms": 1000 + order}
            assert site.flash.changes == order, "each order changed the node once"
    assert site.gateway.kills == ORDERS + 1
    assert outcomes == {True, False}, "kills before and after the answer"


async def _version(site: Site) -> int | None:
    try:
        return int((await site.operator("get"))["version"])
    except Wrong:
        return None


async def _state(site: Site) -> dict[str, Any]:
    try:
        state: dict[str, Any] = (await site.operator("get"))["state"]
    except Wrong:
        return {}
    return state
