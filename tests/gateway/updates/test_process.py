"""The whole way: `fieldline ota rollout` to a gateway's process, over a serial line, to nodes' own updaters.

Nodes are simulated as far as a boot goes; all that judges offers, signatures and digests is the node's own code.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fieldline_gateway.control import ask
from fieldline_gateway.errors import UsageError
from fieldline_gateway.registry import Registry
from fieldline_host.ccm import AesCcm
from fieldline_host.chain import tail, verify
from fieldline_wire.seal import open_sealed, peek
from fieldline_wire.serial import KIND_SEALED, encode
from fieldline_wire.update import codes
from tests.fakes.gateway_site import Gateway, Wire, until
from tests.gateway.updates.updating_node import UpdatingNode
from tests.ota.host.tuf_site import served
from tests.ota.releases import Repo
from tests.ota.rollout_desk import Desk, cheap_secrets


class UpdatingWire(Wire):
    """A line with one node that takes updates. `deaf`: nothing is heard at its end."""

    node: UpdatingNode
    deaf = False

    def _read(self) -> None:
        for _, data in self._reader.feed(os.read(self.master, 4096)):
            header = peek(data)
            if header.epoch != self.node.epoch or self.deaf:
                continue
            payload = open_sealed(AesCcm(self.node.key), header, data)
            for answer in self.node.hear(payload):
                os.write(self.master, encode(KIND_SEALED, answer))


class Site:
    """A gateway with lines to nodes, a repository behind HTTP, and a release manager's desk."""

    def __init__(self, folder: Path, repo: Repo, url: str, count: int) -> None:
        self.folder = folder
        self.repo = repo
        unix = int(repo.now.timestamp())
        self.nodes = [
            UpdatingNode(i, repo.trust(bytes(7) + bytes([i])), unix=unix) for i in range(1, count + 1)
        ]
        self.wires = [UpdatingWire(folder / f"ttyNODE{i}", node) for i, node in enumerate(self.nodes)]
        self.gateway = Gateway(folder, folder / "ttyNODE*")
        self.socket = folder / "data" / "control.sock"
        with self.gateway.config.open("a") as file:
            file.write(
                f'[updates]\nrepository = "{url}"\nroot = "{repo.root_file}"\ncheck_s = 10\nshare_percent = 90\n'
            )
        desk = Desk(folder, repo, self.socket)
        self.ota, self.start_ota = desk.ota, desk.start_ota

    def told(self, operation: str, **arguments: Any) -> Any:
        return ask(self.socket, operation, arguments)

    async def hello(self) -> None:
        """All nodes say it, until the gateway has a Status of each."""
        for wire in self.wires:
            wire.say(wire.node.say_hello())
        await until(lambda: len(self.told("updates.list")["nodes"]) == len(self.nodes))

    async def start(self) -> None:
        await self.gateway.start()
        await until(lambda: sum(link["open"] for link in self.gateway.status()["links"]) == len(self.wires))
        await until(
            lambda: not self.told("updates.list")["fault"] and self.told("updates.list")["checked_ms"]
        )

    def nudge(self) -> None:
        """Each node says again how it stands and what it wants, as it does after a silence (update.md 9.2, 9.6)."""
        for wire in self.wires:
            node = wire.node
            wire.say(node.seal(node.status().to_bytes()), *node.ask_again())


@asynccontextmanager
async def site(folder: Path, repo: Repo, count: int) -> Any:
    with served(repo.folder) as url, cheap_secrets():
        made = Site(folder, repo, url, count)
        for wire in made.wires:
            wire.plug()
        try:
            (folder / "data").mkdir()
            registry = Registry(folder / "data" / "registry.db")
            registry.open()
            registry.enroll_all([(node.id, f"fan-{node.id[-1]}", 0, node.key) for node in made.nodes], 1)
            registry.close()
            yield made
        finally:
            await made.gateway.end(signal.SIGKILL)
            for wire in made.wires:
                wire.unplug()


async def test_a_rollout_over_kills_and_another_that_crashes_and_goes_back(
    repo: Repo, tmp_path: Path
) -> None:
    repo.publish(1, "good", size=20)
    repo.publish(2, "bad", size=20)
    digest = repo.publish(3, "good", size=20)
    async with site(tmp_path, repo, 3) as made:
        await made.start()
        await made.hello()
        _refusals(made, digest)
        said = await made.ota(
            "rollout", "start", "pico_w", "1", "--no-back", "--ring", "40%", "--ring", "100%", "--soak", "0"
        )
        assert "40%: 2 nodes" in said and "100%: 1 nodes" in said
        runner = await made.start_ota("rollout", "run", "1", "--interval", "0.1")
        await until(lambda: any(node.chunks > 8 for node in made.nodes))
        runner.kill()
        await runner.wait()
        await made.gateway.end(signal.SIGKILL)
        await made.start()
        carried = asyncio.create_task(made.ota("rollout", "run", "1", "--interval", "0.1"))
        while not carried.done():
            made.nudge()
            await asyncio.wait([carried], timeout=1)
        await carried
        assert [node.status().running for node in made.nodes] == [1, 1, 1]
        assert not verify(tmp_path / "rollouts" / "audit").faults
        whats = [line["what"] for line in tail(tmp_path / "rollouts" / "audit", 1000)]
        assert (
            whats.count("node-confirmed") == 3 and whats.count("ring-opened") == 1 and "rollout-done" in whats
        )
        told = json.loads(await made.ota("status", "1", "--json"))[0]
        assert told["state"] == "done" and told["counts"] == {"confirmed": 3}
        shown = await made.ota("status", "1")
        assert "rollout 1 of pico_w 1 is done" in shown and "fan-2" in shown

        made.nodes[1].crashes = made.nodes[2].crashes = {2}
        words = ("--back", "3", "--ring", "100%", "--failure", "0.4", "--soak", "0")
        await made.ota("rollout", "start", "pico_w", "2", *words)
        for wire in made.wires[1:]:
            wire.deaf = True  # until the first one has the release, which it is to give back
        carried = asyncio.create_task(made.ota("rollout", "run", "2", "--interval", "0.1", status=1))
        await until(lambda: made.nodes[0].status().running == 2)
        for wire in made.wires[1:]:
            wire.deaf = False
        while not carried.done():
            made.nudge()
            await asyncio.wait([carried], timeout=1)
        said = await carried
        assert "is returned: ring 100%: 2 of 3 nodes failed" in said
        assert [node.status().running for node in made.nodes] == [3, 1, 1]
        assert [node.status().reason for node in made.nodes[1:]] == [codes.TRIES_USED] * 2
        said = await made.ota("abort", "2", "--why", "too late", status=2)
        assert "is returned: it can't be aborted" in said


def _refusals(made: Site, digest: str) -> None:
    """What the gateway does not take for an offer."""
    node = made.nodes[0].id.hex()
    unknown = "01" + node + "00" * 12 + "ab" * 32 + "00" * 16
    for name, token, said in (
        ("00", "", "no enrolled node"),
        (7, "", "no enrolled node"),
        (node, "00" * 69, "not one of this node"),
        (node, "zz", "not one of this node"),
        (node, None, "not one of this node"),
    ):
        told = made.told("updates.offer", digest=digest, nodes=[name], tokens=[token])
        assert told["offered"] == [] and said in told["refused"][str(name)]
    for arguments, said in (
        ({"nodes": [node], "digest": "ab" * 32, "tokens": [unknown]}, "not held"),
        ({"nodes": [node], "digest": digest, "tokens": []}, "a token a node"),
        ({"nodes": [], "digest": digest, "tokens": []}, "1 to 1000 in a call"),
        ({"nodes": [node] * 1001, "digest": digest, "tokens": [unknown] * 1001}, "1 to 1000 in a call"),
        ({"node": node, "digest": digest, "token": unknown}, "'nodes' is missing"),
    ):
        with pytest.raises(UsageError, match=said):
            made.told("updates.offer", **arguments)
    assert digest in {each["digest"] for each in made.told("updates.list")["releases"]}
