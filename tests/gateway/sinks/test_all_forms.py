"""`fieldline gateway run` with a sink of each kind, through an outage of the broker and a kill."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as paho

from fieldline_gateway.records import LIVE
from fieldline_gateway.sparkplug.payload import Payload
from fieldline_harness.mosquitto import Mosquitto
from tests.fakes.gateway_site import enrolled, linked, site, until

BROKER = "allow_anonymous true\npersistence true\nmax_queued_messages 0"
CONFIG = """
[gateway]
name = "gw"
[serial]
ports = ["{port}"]
[[sink]]
kind = "json"
url = "mqtt://127.0.0.1:{broker}"
homeassistant = true
fresh_s = 600
[[sink]]
kind = "fan"
url = "mqtt://127.0.0.1:{broker}"
version = "3.1.1"
fresh_s = 600
[[sink]]
kind = "template"
url = "mqtt://127.0.0.1:{broker}"
topic = "plant/{{name}}"
payload = '{{"n":{{number}},"v":{{value}}}}'
[[sink]]
kind = "sparkplug"
url = "mqtt://127.0.0.1:{broker}"
settle_s = 0
"""


class Judge:
    """paho-mqtt with a session that the broker keeps: all messages, in order."""

    def __init__(self, port: int) -> None:
        self.got: list[paho.MQTTMessage] = []
        self._ready = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="judge", clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = lambda _client, _data, packet: self.got.append(packet)
        self._port = port

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def of(self, start: str) -> list[Any]:
        """JSON payloads of the topics that begin so."""
        return [json.loads(packet.payload) for packet in list(self.got) if packet.topic.startswith(start)]

    def readings(self) -> list[tuple[int, bool]]:
        """(number, whether it is backlog) of plain JSON, each where it came first."""
        found: dict[int, bool] = {}
        for content in self.of("fieldline/gw/0000000000000001/live"):
            found.setdefault(content["number"], content.get("backlog", False))
        return list(found.items())

    def sparkplug(self) -> set[int]:
        """Numbers in DDATA."""
        payloads = [p.payload for p in list(self.got) if p.topic.startswith("spBv1.0/Fieldline/DDATA/gw/fan")]
        metrics = [metric for payload in payloads for metric in Payload.from_bytes(payload).metrics]
        return {int(str(n.value)) for metric in metrics if (n := metric.property("number")) is not None}


async def patiently(true: Callable[[], object]) -> None:
    """The pauses between attempts to connect have doubled to many seconds on a slow machine."""
    async with asyncio.timeout(100):
        while not true():
            await asyncio.sleep(0.05)


async def test_every_form_gets_everything_and_what_is_new_comes_before_the_backlog(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker", BROKER) as broker, Judge(broker.port) as judge:
        async with site(tmp_path) as (gateway, wire, node):
            gateway.config.write_text(CONFIG.format(port=wire.path, broker=broker.port))
            code, said = await gateway.command("check")
            assert code == 0 and said.count("  sink") == 4, said
            await enrolled(gateway, node)
            await gateway.start()
            await linked(gateway)
            wire.say(node.hello([(LIVE, 4, 1)], uptime=100), node.report(1, 3))
            await until(lambda: len(judge.readings()) == 3 and judge.sparkplug() == {1, 2, 3})

            broker.stop()
            wire.say(node.report(4, 20))
            await until(lambda: wire.acknowledged(4, 23))
            assert await gateway.end(signal.SIGKILL) != 0
            await gateway.start()
            await linked(gateway)
            wire.say(node.report(24))
            await until(lambda: wire.acknowledged(24, 24))
            told = gateway.status()["sinks"]
            assert not any(sink["connected"] for sink in told) and told[0]["backlog"] > 0
            broker.start()
            everything = set(range(1, 25))
            await patiently(lambda: {number for number, _ in judge.readings()} == everything)
            assert judge.readings() == [
                *((number, False) for number in (1, 2, 3, 24)),
                *((number, True) for number in range(4, 24)),
            ]
            await patiently(lambda: {one["n"] for one in judge.of("plant/fan")} == everything)
            wire.say(
                node.report(25)
            )  # Sparkplug is QoS 0: what came before the judge was back is not queued for it
            await patiently(lambda: 25 in judge.sparkplug())
            await patiently(lambda: all(sink["lag"] == 0 for sink in gateway.status()["sinks"]))
            status = {sink["sink"]: sink for sink in gateway.status()["sinks"]}
            assert {name: sink["protocol"] for name, sink in status.items()} == {
                "json": "5.0", "fan": "3.1.1", "template": "5.0", "sparkplug": "5.0",
            }  # fmt: skip
            assert status["sparkplug"]["sparkplug"]["state"] == "online"
            _, said = await gateway.command("status")
            assert "Sparkplug online" in said
            assert await gateway.end(signal.SIGTERM) == 0

        fans = judge.of("fieldline/gw/fans")
        assert fans and all(list(fan) == ["TIME", "FANID", "FREQ", "RPM"] for fan in fans)
        assert {fan["FANID"] for fan in fans} == {"fan-1"}
        told = {packet.topic for packet in judge.got if packet.topic.startswith("homeassistant")}
        assert told == {
            "homeassistant/sensor/fieldline_0000000000000001/1_speed/config",
            "homeassistant-fieldline/gw",
            "homeassistant-fieldline/gw/0000000000000001",
        }
        retained = [packet.topic for packet in judge.got if packet.retain]
        assert not any(topic.startswith(("fieldline", "plant", "spBv1.0")) for topic in retained)
