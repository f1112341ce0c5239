"""A gateway among enemies: noise, forgeries, replays and strangers on one line, a node at work on another."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

from fieldline_wire.serial import KIND_SEALED, encode
from tests.fakes.gateway_node import OTHER_KEY, FakeNode
from tests.fakes.gateway_site import Gateway, Wire, enrolled, until

READINGS = 200


async def test_a_node_is_served_while_another_line_is_hostile(tmp_path: Path) -> None:
    node, victim = FakeNode(1), FakeNode(2)
    wire, enemy = Wire(tmp_path / "ttyA", node), Wire(tmp_path / "ttyB", victim)
    gateway = Gateway(tmp_path, tmp_path / "tty*")
    wire.plug()
    enemy.plug()
    try:
        for one in (node, victim):
            await enrolled(gateway, one)
        await gateway.start()
        await until(lambda: sum(link["open"] for link in gateway.status()["links"]) == 2)
        enemy.say(victim.hello(), victim.report(1))
        await until(lambda: enemy.acknowledged(1, 1))

        attack = asyncio.create_task(asyncio.to_thread(os_write_all, enemy, hostile(victim)))
        wire.say(node.hello())
        for number in range(1, READINGS + 1):
            wire.say(node.report(number))
            await until(lambda n=number: wire.acknowledged(n, n))  # type: ignore[misc]
        await attack

        refused = gateway.status()["refused"]
        assert set(refused) >= {"wrong-key", "replay", "unknown-node", "malformed", "clone"}, refused
        told = {entry["node"]: entry["classes"] for entry in gateway.status()["nodes"]}
        assert told[node.id.hex()]["live"]["stored"] == READINGS
        assert told[victim.id.hex()]["live"]["stored"] == 1, "something forged was stored"
        enemy_link = next(link for link in gateway.status()["links"] if link["link"].endswith("ttyB"))
        assert enemy_link["noise_bytes"] >= 1_000_000
        lines = gateway.log.read_text().splitlines()
        for kind in ("wrong-key", "replay", "unknown-node", "malformed", "clone"):
            assert 1 <= sum("refused" in line and kind in line for line in lines) <= 2, (
                "once a kind and minute"
            )
    finally:
        await gateway.end(signal.SIGKILL)
        wire.unplug()
        enemy.unplug()


def hostile(victim: FakeNode) -> bytes:
    """1 MB of noise, and between it whatever an attacker has: recorded, forged, cut short, made with a stolen key."""
    source = random.Random(7)
    replayed = victim.seal(b"")  # a counter that is used here first: the gateway has not seen it ...
    wrong_key, stranger = FakeNode(2, key=OTHER_KEY), FakeNode(9)
    clone = FakeNode(2, epoch=0)
    said = []
    for turn in range(20):
        said.append(source.randbytes(50_000).replace(b"\0", b"\1") + b"\0")
        forged = [
            wrong_key.report(2 + turn),
            stranger.report(1 + turn),
            replayed,  # ... and from the second turn on it has
            victim.report(2)[: 10 + turn],
            clone.report(2 + turn),
        ]
        said += [encode(KIND_SEALED, one) for one in forged]
    return b"".join(said)


def os_write_all(wire: Wire, data: bytes) -> None:
    while data:
        data = data[os.write(wire.master, data[:4096]) :]
