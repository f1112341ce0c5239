"""The MQTT sink and its servers: several in order, home again, moved, refusals, what waited too long."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fieldline_gateway.errors import StoreError
from fieldline_gateway.mqtt.address import Address
from fieldline_gateway.mqtt.codec import fields, reasons, v5
from fieldline_gateway.mqtt.codec.properties import Properties
from fieldline_gateway.mqtt.errors import ConnectionLost, Disconnected
from fieldline_gateway.pace import Pace
from fieldline_gateway.sinks.dead_letters import DeadLetters, Letter
from fieldline_gateway.sinks.mqtt import MqttSink
from fieldline_gateway.sinks.mqtt_config import MqttConfig
from fieldline_gateway.sinks.payload import JsonPayload
from fieldline_gateway.sinks.servers import MAX_HOPS, Servers
from fieldline_gateway.sinks.tags import Tags
from tests.gateway.mqtt.support import FakeBroker, FakeReader, report, run, until

A, B, C = (Address(name, 1883) for name in ("a", "b", "c"))


def make(*ports: int, tags: Tags | None = None, **settings: Any) -> MqttSink:
    first, *others = (Address("127.0.0.1", port) for port in ports)
    config = MqttConfig(
        first,
        "sink",
        fallbacks=tuple(others),
        **{"drain_timeout_s": 0.05, "backoff_first_s": 0.001, "backoff_most_s": 0.01, **settings},
    )
    return MqttSink(config, JsonPayload("gw", tags=tags), random=lambda: 1.0)


@asynccontextmanager
async def running(sink: MqttSink, reader: FakeReader) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(sink.run(reader))
    try:
        yield task
    finally:
        task.cancel()
        [outcome] = await asyncio.gather(task, return_exceptions=True)
        assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome


def number(packet: Any) -> int:
    return int(json.loads(packet.payload)["number"])


# --- which server


def test_the_list_is_tried_in_order_and_a_pause_comes_after_all() -> None:
    servers = Servers([A, B, C])
    lost = ConnectionLost("x")
    seen = []
    for _ in range(4):
        seen.append((servers.current.host, servers.at_home, servers.failed(lost)))
    assert seen == [("a", True, False), ("b", False, False), ("c", False, True), ("a", True, False)]
    servers.go_home()
    assert servers.current is A


def test_a_reference_is_followed_but_not_round_and_round() -> None:
    servers = Servers([A, B])
    assert not servers.failed(Disconnected(reasons.USE_ANOTHER_SERVER, "", "x:1"))
    assert (servers.current.host, servers.current.port, servers.at_home) == ("x", 1, False)
    assert not servers.failed(ConnectionLost("gone"))
    assert servers.current is B
    servers.go_home()
    assert not servers.failed(Disconnected(reasons.SERVER_MOVED, "", "new"))
    assert servers.current.host == "new" and servers.at_home
    servers.go_home()
    assert servers.first.host == "new"
    hops = 0
    while servers.current is not B:
        servers.failed(Disconnected(reasons.USE_ANOTHER_SERVER, "", f"hop{hops}"))
        hops += 1
    assert hops == MAX_HOPS + 1
    assert not Servers([A]).failed(Disconnected(reasons.USE_ANOTHER_SERVER, "", "b"))
    assert Servers([A]).failed(Disconnected(reasons.USE_ANOTHER_SERVER, "", ""))


def test_the_first_that_answers_is_used_and_the_first_again_after_a_time() -> None:
    async def main() -> None:
        reader = FakeReader([report(1), report(2)])
        async with FakeBroker() as second:
            async with FakeBroker() as first:
                port = first.port
            sink = make(port, second.port, home_after_s=0.05, progress_timeout_s=0.2)
            async with running(sink, reader):
                peer = await second.accepted()
                sent = await peer.publishes(2)
                peer.acknowledge(*sent)
                await until(lambda: reader.done)
                async with FakeBroker(port) as first:
                    home = await first.accepted()
                    reader.append(report(3))
                    assert number(await home.publish()) == 3  # and nothing twice
                    await peer.ended()
                    assert str(port) in str(sink.status()["broker"])

    run(main())


def test_a_server_that_acknowledges_nothing_is_not_the_one_to_stay_with() -> None:
    async def main() -> None:
        reader = FakeReader([report(1)])
        async with FakeBroker() as first, FakeBroker() as second:
            sink = make(first.port, second.port, progress_timeout_s=0.1, home_after_s=1000)
            async with running(sink, reader):
                silent = await first.accepted()
                await silent.publishes(1)
                peer = await second.accepted()
                peer.acknowledge(*await peer.publishes(1))
                await until(lambda: reader.done)

    run(main())


def test_a_server_that_sends_us_away_is_left_for_the_one_it_names() -> None:
    async def main() -> None:
        reader = FakeReader([report(1)])
        async with FakeBroker() as first, FakeBroker() as second, running(make(first.port, level=5), reader):
            peer = await first.peer()
            await peer.packet()
            where = Properties(server_reference=f"127.0.0.1:{second.port}")
            peer.send(v5.Connack(reasons.USE_ANOTHER_SERVER, properties=where))
            peer = await second.accepted()
            peer.acknowledge(*await peer.publishes(1))
            await until(lambda: reader.done)
            assert first.connections == 1

    run(main())


# --- refusals


def test_what_is_refused_for_good_is_a_dead_letter_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "letters" / "sink.jsonl"

    async def main() -> None:
        reader = FakeReader([report(1), report(2), report(3)])
        async with FakeBroker() as broker:
            sink = make(broker.port, level=5, dead_letters=path)
            async with running(sink, reader):
                peer = await broker.accepted()
                sent = await peer.publishes(3)
                peer.send(v5.Puback(sent[1].packet_id, reasons.NOT_AUTHORISED))
                peer.acknowledge(sent[0], sent[2])
                await until(lambda: reader.done)
                assert sink.status()["dead_letters"] == 1
                assert sink.status()["dead_letters_file"] == str(path)

    run(main())
    [letter] = [json.loads(line) for line in path.read_text().splitlines()]
    assert (letter["code"], letter["topic"]) == ("0x87", "fieldline/gw/0102030405060708/live")
    assert json.loads(letter["payload"])["number"] == 2
    assert letter["server"].startswith("mqtt://127.0.0.1")


def test_the_cursor_waits_until_a_dead_letter_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fieldline_gateway.sinks.mqtt.LETTER_PAUSE_S", 0.01)
    tries = 0

    def add(self: DeadLetters, letters: Any) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise StoreError("no room")

    monkeypatch.setattr(DeadLetters, "add", add)

    async def main() -> None:
        reader = FakeReader([report(1)])
        async with FakeBroker() as broker, running(make(broker.port, level=5), reader):
            peer = await broker.accepted()
            [packet] = await peer.publishes(1)
            peer.send(v5.Puback(packet.packet_id, reasons.PAYLOAD_FORMAT_INVALID))
            await until(lambda: tries == 2)
            assert reader.commits == []
            await until(lambda: reader.done)

    run(main())


def test_what_is_refused_for_now_is_sent_again_later() -> None:
    async def main() -> None:
        reader = FakeReader([report(1), report(2)])
        async with FakeBroker() as broker:
            sink = make(broker.port, level=5)
            async with running(sink, reader):
                peer = await broker.accepted()
                sent = await peer.publishes(2)
                peer.acknowledge(sent[1])
                for _ in range(3):
                    peer.send(v5.Puback(sent[0].packet_id, reasons.QUOTA_EXCEEDED))
                    [again] = await peer.publishes(1)
                    assert (again.packet_id, again.dup, number(again)) == (sent[0].packet_id, False, 1)
                    assert reader.commits == []
                peer.acknowledge(again)
                await until(lambda: reader.done)
                assert (sink.status()["put_off"], broker.connections) == (3, 1)

    run(main())


def test_dead_letters_have_a_bound_and_say_what_they_are(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "x.jsonl", max_bytes=1000)
    message = (fields.text("t/ö"), b"\xff\x00", b"")
    for count in range(40):
        letters.add([Letter("2025-01-01T00:00:00.000Z", "mqtt://b:1883", 0x99, f"why {count}", message)])
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["x.jsonl", "x.jsonl.1"]
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())
    last = json.loads((tmp_path / "x.jsonl").read_text().splitlines()[-1])
    assert (last["why"], last["topic"], last["payload_base64"]) == ("why 39", "t/ö", "/wA=")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="make room"):
        DeadLetters(tmp_path / "file" / "x").add([])


# --- what waited too long


def test_what_waited_in_the_window_is_taken_anew_as_it_is_backlog_by_now() -> None:
    async def main() -> None:
        reader = FakeReader([report(1), report(2), report(3)])
        async with FakeBroker() as broker:
            port = broker.port
            sink = make(port, pace=Pace(fresh_s=0.05))
            async with running(sink, reader):
                peer = await broker.accepted()
                sent = await peer.publishes(3)
                peer.acknowledge(sent[0])
                await until(lambda: reader.committed[1] == 1)
                broker._server.close()  # type: ignore[union-attr]
                peer.close()
                await until(sink._is_stale)
                async with FakeBroker(port) as broker:
                    reader.logs[1] = [stored.as_late() for stored in reader.logs[1]]
                    peer = await broker.accepted(session_present=True)
                    assert peer.connect.clean_session  # so no identifier of the old session counts
                    again = await peer.publishes(2)
                    assert [json.loads(packet.payload).get("backlog") for packet in again] == [True, True]
                    assert [number(packet) for packet in again] == [2, 3]
                    peer.acknowledge(*again)
                    await until(lambda: reader.done)

    run(main())


def test_each_way_is_committed_by_itself() -> None:
    async def main() -> None:
        reader = FakeReader([report(n) for n in (1, 2, 3, 4)])
        log = reader.logs[1]
        reader.logs[1] = [log[2], log[3], log[0].as_late(), log[1].as_late()]
        commits: list[int] = []
        reader.commit = lambda position: commits.append(position.seq)  # type: ignore[method-assign]
        async with FakeBroker() as broker, running(make(broker.port), reader):
            peer = await broker.accepted()
            peer.acknowledge(*await peer.publishes(4))
            await until(lambda: {2, 4} <= set(commits))

    run(main())


# --- MQTT 5.0


def test_user_properties_and_expiry_go_with_each_message() -> None:
    async def main() -> None:
        reader = FakeReader([report(41, 2)])
        reader.logs[1] = [stored.as_late() for stored in reader.logs[1]]
        tags = Tags("gw", True, 60)
        async with FakeBroker() as broker, running(make(broker.port, level=5, tags=tags), reader):
            peer = await broker.accepted()
            assert isinstance(peer.connect, v5.Connect) and peer.connect.properties.session_expiry
            first, second = await peer.publishes(2)
        assert first.properties.message_expiry == 60
        assert second.properties.user == (
            ("gateway", "gw"),
            ("node", "0102030405060708"),
            ("class", "live"),
            ("stream", "7"),
            ("historical", "true"),
            ("number", "42"),
        )

    run(main())


def test_the_servers_receive_maximum_is_kept_to() -> None:
    async def main() -> None:
        reader = FakeReader([report(n) for n in range(1, 8)])
        async with FakeBroker() as broker:
            sink = make(broker.port, level=5)
            async with running(sink, reader):
                peer = await broker.accepted(found=Properties(receive_maximum=2))
                for first in (1, 3, 5):
                    sent = await peer.publishes(2)
                    assert [number(packet) for packet in sent] == [first, first + 1]
                    assert sink.status()["in_flight"] == 2
                    peer.acknowledge(*sent)
                peer.acknowledge(*await peer.publishes(1))
                await until(lambda: reader.done)

    run(main())
