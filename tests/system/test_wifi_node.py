"""Nodes with Wi-Fi (simulated boards) by umqtt.simple, unmodified, to the gateway's listener, and on to a broker.

Rules: as in chain.py: the real gateway on a disk that forgets, the numbers that must arrive are read from the nodes'
flash, the judge is a stock subscriber. Between the nodes and the listener is a proxy that cuts and goes silent.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from fieldline_boards.emulated.vm import VmBoard
from fieldline_gateway.mqtt.security import hash_password
from fieldline_harness.gateway_process import GatewayProcess
from fieldline_harness.mosquitto import free_port
from fieldline_harness.proxy import Proxy
from tests.fakes.umqtt import find_umqtt
from tests.system.chain import LOSSY, Chain

SEED = 20_261_130
MOST_S = 240.0


class WifiChain(Chain):
    """A Chain whose cables carry nothing: the nodes have /wifi.json."""

    def __init__(self, folder: Path, umqtt: Path, *, nodes: int) -> None:
        super().__init__(folder, nodes=nodes, seed=SEED, sample_ms=200)
        self.listener = free_port()
        self.proxy = Proxy(self.listener)
        (folder / "gateway" / "passwords").write_text(f"site-node:{hash_password(b'let me in')}\n")
        self.gateway = GatewayProcess(
            folder / "gateway",
            f'[gateway]\nname = "judged"\n[listener]\nbind = "127.0.0.1:{self.listener}"\nnodes = true\n'
            'password_file = "passwords"\n'
            f'[[sink]]\nkind = "json"\nurl = "mqtt://127.0.0.1:{self.broker.port}"\n',
            command=LOSSY,
        )
        self.boards = {
            node: VmBoard(
                self.spec, board.places.folder, unique_id=node, files=folder / "firmware", network=True
            )
            for node, board in self.boards.items()
        }
        for board in self.boards.values():
            files = board.places.folder / "files"
            (files / "umqtt").mkdir()
            (files / "umqtt" / "simple.py").write_bytes((umqtt / "umqtt" / "simple.py").read_bytes())

    async def __aenter__(self) -> WifiChain:
        await self._stack.enter_async_context(self.proxy)
        for board in self.boards.values():
            wifi = {"ssid": "site", "key": "simulated", "host": "127.0.0.1", "port": self.proxy.port}
            wifi |= {"user": "site-node", "password": "let me in"}
            (board.places.folder / "files" / "wifi.json").write_text(json.dumps(wifi))
        await super().__aenter__()
        return self

    async def cut_connections(self) -> None:
        self.proxy.cut()
        self.counts["cable cuts"] += 1

    async def go_silent(self) -> None:
        """What is connected stays so, and nothing comes through any more."""
        self.proxy.half_open()
        self.counts["cable cuts"] += 1


@pytest.mark.system
def test_nothing_is_lost_of_nodes_with_wifi(tmp_path: Path) -> None:
    umqtt = find_umqtt()

    async def more(chain: WifiChain, count: int) -> None:
        wanted = chain.readings() + count
        async with asyncio.timeout(MOST_S):
            while chain.readings() < wanted:
                await asyncio.sleep(0.1)

    async def run() -> None:
        async with WifiChain(tmp_path, umqtt, nodes=2) as chain:
            await more(chain, 20)
            told = await chain.gateway.status()
            assert {link["link"] for link in told["links"]} == {f"mqtt:{node.hex()}" for node in chain.boards}
            for befalls in (
                chain.cut_connections, chain.kill_gateway, chain.go_silent, chain.restart_broker, chain.cut_power
            ):  # fmt: skip
                await befalls()
                await more(chain, 40)
            accepted = await chain.accepted()
            await chain.until_quiet(accepted, MOST_S)
            with chain.subscriber.lock:
                assert sum(accepted.values()) > 220
                assert chain.subscriber.ledger.faults(accepted) == []

    asyncio.run(run())
