"""Links through the listener: sealed messages in by topic, answers out to who listens, rubbish refused."""

from __future__ import annotations

import asyncio

import pytest

from fieldline_gateway import cli, config
from fieldline_gateway.links.mqtt import MAX_LINKS, MAX_MESSAGE, MqttLinks
from fieldline_gateway.mqtt.codec import v311
from fieldline_gateway.mqtt.listener import Listener
from fieldline_host.tomlfile import ConfigError

NODE = "0102030405060708"


class Client:
    """A client in a few lines: `async with`, then packets out and bytes in."""

    def __init__(self, port: int, name: str) -> None:
        self._port, self._name = port, name

    async def __aenter__(self) -> Client:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        self.writer.write(v311.Connect(self._name).to_bytes())
        assert await self.reader.readexactly(4) == b"\x20\x02\x00\x00"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def publish(self, topic: str, payload: bytes, qos: int = 1) -> None:
        self.writer.write(v311.Publish(topic, payload, qos, packet_id=1 if qos else None).to_bytes())
        if qos:
            assert await self.reader.readexactly(4) == b"\x40\x02\x00\x01"


async def test_a_message_comes_in_and_its_answer_goes_out() -> None:
    heard: list[tuple[str, bytes]] = []
    async with Listener("127.0.0.1", 0) as listener:
        links = MqttLinks(listener.broker, lambda link, sealed: heard.append((link, sealed)))
        async with Client(listener.port, "node") as node, Client(listener.port, "curious") as other:
            for client in (node, other):
                client.writer.write(
                    v311.Subscribe(1, ((f"node/down/{NODE}", 0), ("node/up/+", 0))).to_bytes()
                )
                await client.reader.readexactly(6)
            await node.publish(f"node/up/{NODE}", b"sealed")
            assert heard == [(f"mqtt:{NODE}", b"sealed")]
            assert links.send(f"mqtt:{NODE}", b"answer")
            answer = v311.Publish(f"node/down/{NODE}", b"answer").to_bytes()
            # And nothing of what the node said: that is for the gateway alone.
            assert await node.reader.readexactly(len(answer)) == answer
            assert await other.reader.readexactly(len(answer)) == answer
        assert links.status() == [{"link": f"mqtt:{NODE}", "open": True, "messages_in": 1, "messages_out": 1}]
        await asyncio.sleep(0.05)
        assert not links.send(f"mqtt:{NODE}", b"to nobody")
        assert not links.send("/dev/ttyACM0", b"not ours")


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("", b"x"),
        ("x", b"x"),
        (NODE.upper() + "A", b"x"),
        (NODE + "0", b"x"),
        (NODE, b""),
        (NODE, bytes(MAX_MESSAGE + 1)),
    ],
)
async def test_rubbish_is_counted_and_goes_no_further(name: str, payload: bytes) -> None:
    async with Listener("127.0.0.1", 0) as listener:
        heard: list[str] = []
        links = MqttLinks(listener.broker, lambda link, _: heard.append(link))
        async with Client(listener.port, "node") as node:
            await node.publish(f"node/up/{name}", payload)
        assert (links.refused, heard, links.status()) == (1, [], [])


async def test_links_that_are_remembered_are_bounded() -> None:
    async with Listener("127.0.0.1", 0) as listener:
        links = MqttLinks(listener.broker, lambda *_: None)
        for number in range(MAX_LINKS + 10):
            listener.broker.publish(f"node/up/{number:016x}", b"x", 0, False, 0.0)
        assert len(links.status()) == MAX_LINKS


def test_the_configuration_asks_for_them(tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "gateway.toml"
    path.write_text('[listener]\nbind = "127.0.0.1:0"\nnodes = true\n')
    assert config.load(path).listener.nodes  # type: ignore[union-attr]
    assert cli.main(["check", "-c", str(path)]) == 0
    assert "for subscribers and nodes" in capsys.readouterr().out
    path.write_text('[listener]\nbind = "127.0.0.1:0"\n')
    with pytest.raises(ConfigError, match="nodes = true"):
        config.load(path)
