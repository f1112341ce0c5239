"""`fieldline gateway run` as a user starts it: a node on a serial line, the own listener, kills and stops."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho

from fieldline_gateway.records import LIVE
from fieldline_wire.messages import ACK_HOLD, Ack
from tests.fakes.gateway_site import Gateway, enrolled, linked, site, until


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


async def test_an_address_in_use_is_said_in_a_line_and_the_next_start_goes_on(
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as (gateway, wire, node):
        await enrolled(gateway, node)
        works = gateway.config.read_text()
        with socket.create_server(("127.0.0.1", 0)) as other:
            bind = f"127.0.0.1:{other.getsockname()[1]}"
            head = works.partition("[listener]")[0]
            gateway.config.write_text(f'{head}[listener]\nbind = "{bind}"\n')
            code, said = await gateway.command("run")
        assert code == 2 and "Traceback" not in said
        assert said.splitlines()[-1].startswith("fieldline gateway: error: ") and bind in said

        gateway.config.write_text(works)
        await gateway.start()
        await linked(gateway)
        wire.say(node.hello([(LIVE, 4, 1)], uptime=100), node.report(1, 3))
        await until(lambda: wire.acknowledged(1, 3))


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


def test_what_a_site_may_do_without_is_not_loaded_at_the_start() -> None:
    code = "import sys, fieldline_gateway.app; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    found = done.stdout.split()
    assert "fieldline_gateway.app" in found
    dear = (
        "uvicorn",
        "starlette",
        "wsproto",
        "cryptography.x509",
        "fieldline_wire.mesh",
        "fieldline_gateway.sparkplug.edge",
    )
    assert [name for name in dear if name in found] == []
