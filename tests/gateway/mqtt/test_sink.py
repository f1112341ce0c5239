"""The MQTT sink against brokers that are silent, out of order, talk nonsense, close or refuse."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fieldline_gateway.mqtt.address import Address
from fieldline_gateway.mqtt.codec import fields, v311
from fieldline_gateway.records import Position
from fieldline_gateway.sinks.mqtt import Backoff, MqttSink
from fieldline_gateway.sinks.mqtt_config import MqttConfig
from fieldline_gateway.sinks.payload import JsonPayload
from fieldline_harness.mosquitto import free_port
from tests.gateway.mqtt.conftest import Said
from tests.gateway.mqtt.support import FakeBroker, FakeReader, report, run, until

BARELY_S = 0.05
"""Long enough for what must not happen to show itself."""


def make(port: int, *, sleep: Callable[[float], Awaitable[None]] | None = None, **settings: Any) -> MqttSink:
    """A sink that does not wait between attempts."""
    config = MqttConfig(Address("127.0.0.1", port), "sink", **{"drain_timeout_s": 0.05, **settings})
    return MqttSink(
        config, JsonPayload("gw"), random=lambda: 1.0, sleep=sleep or (lambda _: asyncio.sleep(0.001))
    )


@asynccontextmanager
async def running(sink: MqttSink, reader: FakeReader) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(sink.run(reader))
    try:
        yield task
    finally:
        task.cancel()
        [outcome] = await asyncio.gather(task, return_exceptions=True)
        assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome


def number(packet: v311.Publish) -> int:
    """Number of the reading in a payload of these tests."""
    return int(packet.payload.split(b'"number":')[1].split(b",")[0])


def test_cursor_moves_over_acknowledged_messages_in_order_only() -> None:
    async def main() -> None:
        reader = FakeReader([report(1), report(2, 3), report(5)])  # five messages
        async with FakeBroker() as broker, running(make(broker.port), reader):
            peer = await broker.accepted()
            sent = await peer.publishes(5)
            assert [number(packet) for packet in sent] == [1, 2, 3, 4, 5]
            assert all(packet.qos == 1 and not packet.dup and not packet.retain for packet in sent)
            peer.acknowledge(sent[2], sent[4])
            peer.acknowledge(sent[1])
            await asyncio.sleep(BARELY_S)
            assert reader.commits == []
            peer.acknowledge(sent[0])
            await until(lambda: reader.commits == [Position(1, 1)])
            peer.acknowledge(sent[3])  # the last of the report of three; the one after it came early
            await until(lambda: reader.commits == [Position(1, 1), Position(1, 3)])

    run(main())


def test_window_bounds_what_is_in_flight_and_reports_are_cut_by_it() -> None:
    async def main() -> None:
        reader = FakeReader([report(1 + 4 * n, 4) for n in range(5)])
        sink = make(0, window=10)
        async with FakeBroker() as broker:
            sink = make(broker.port, window=10)
            async with running(sink, reader):
                peer = await broker.accepted()
                sent = await peer.publishes(10)
                await asyncio.sleep(BARELY_S)
                assert sink.status()["in_flight"] == 10
                peer.acknowledge(*sent[:6])
                sent += await peer.publishes(6)
                assert reader.committed[1] == 1
                peer.acknowledge(*sent[6:])
                sent += await peer.publishes(4)
                assert [number(packet) for packet in sent] == list(range(1, 21))
                peer.acknowledge(*sent[16:])
                await until(lambda: reader.done)
                assert sink.status()["in_flight"] == 0

    run(main())


def test_alarm_does_not_wait_behind_a_long_backlog() -> None:
    async def main() -> None:
        reader = FakeReader([report(1 + n, cls=2) for n in range(500)])
        async with FakeBroker() as broker, running(make(broker.port, window=20), reader):
            peer = await broker.accepted()
            sent = await peer.publishes(20)
            reader.append(report(1, cls=0))
            peer.acknowledge(*sent)
            after = await peer.publishes(1)
            assert after[0].topic.endswith("/alarm")
            assert max(reader.limits) <= 20

    run(main())


@pytest.mark.parametrize("session_present", [True, False])
def test_lost_connection_repeats_what_is_in_flight_and_nothing_else(session_present: bool) -> None:
    async def main() -> None:
        reader = FakeReader([report(1 + n) for n in range(30)])
        async with FakeBroker() as broker:
            sink = make(broker.port, window=10)
            async with running(sink, reader):
                peer = await broker.accepted()
                first = await peer.publishes(10)
                peer.acknowledge(*first[:3])
                await until(lambda: reader.committed[1] == 3)
                peer.close()
                peer = await broker.accepted(session_present=session_present)
                again = await peer.publishes(7)
                assert [number(packet) for packet in again] == list(range(4, 11))
                # Within a session a repeat keeps its identifier and says DUP [MQTT-4.4.0-1], [MQTT-3.3.1-1].
                assert [packet.packet_id for packet in again] == [packet.packet_id for packet in first[3:]]
                assert all(packet.dup is session_present for packet in again)
                peer.acknowledge(*again)
                new = await peer.publishes(10)
                assert [number(packet) for packet in new] == list(range(11, 21))
                assert not any(packet.dup for packet in new)
                assert sink.status()["repeated"] == 7

    run(main())


def test_silent_broker_is_given_up_and_tried_again_later_and_later(said: Said) -> None:
    """It takes the connection and never answers."""

    async def main() -> None:
        pauses: list[float] = []

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)
            await asyncio.sleep(0)

        async with FakeBroker() as broker:
            sink = make(broker.port, sleep=sleep, connect_timeout_s=0.1, backoff_most_s=4)
            async with running(sink, FakeReader([report(1)])):
                await until(lambda: len(pauses) >= 5)
            assert pauses[:5] == [0.5, 1, 2, 4, 4]

    run(main())
    assert "no answer from mqtt://127.0.0.1" in said.text
    assert "check host, port and firewall" in said.text
    assert "again_s=0.5" in said.text


def test_no_puback_for_too_long_ends_the_connection(said: Said) -> None:
    async def main() -> None:
        reader = FakeReader([report(1)])
        async with FakeBroker() as broker, running(make(broker.port, progress_timeout_s=0.1), reader):
            peer = await broker.accepted()
            [first] = await peer.publishes(1)
            await peer.ended()
            peer = await broker.accepted(session_present=True)
            [again] = await peer.publishes(1)
            assert again.packet_id == first.packet_id
            assert again.dup
            assert reader.commits == []
            peer.acknowledge(again)
            await until(lambda: reader.done)
            await asyncio.sleep(0.3)  # three times the limit with nothing in flight: all is well
            assert broker.connections == 2

    run(main())
    assert "no PUBACK from mqtt://127.0.0.1" in said.text


@pytest.mark.parametrize(
    ("rubbish", "clause"),
    [
        (b"\xf0\x00", "MQTT-4.8.0-1"),
        (b"HTTP/1.1 400 Bad Request\r\n" + b"Server: x\r\n" * 10, "MQTT-2.2.2-2"),
        (b"\x90\x03\x00\x01\x00", "SUBACK"),
        (b"\x20\x02\x00\x00", "CONNACK"),
        (b"\x30\xff\xff\xff\x7f", "over the bound"),
    ],
    ids=["forbidden type", "HTTP", "SUBACK", "second CONNACK", "huge packet"],
)
def test_rubbish_after_a_puback(rubbish: bytes, clause: str, said: Said) -> None:
    """What was acknowledged before it counts; the rest goes over a new connection."""

    async def main() -> None:
        reader = FakeReader([report(1), report(2)])
        async with FakeBroker() as broker, running(make(broker.port), reader):
            peer = await broker.accepted()
            sent = await peer.publishes(2)
            peer.raw(v311.Puback(sent[0].packet_id).to_bytes() + rubbish)
            await peer.ended()
            assert reader.committed[1] == 1
            peer = await broker.accepted()
            peer.acknowledge(*await peer.publishes(1))
            await until(lambda: reader.done)

    run(main())
    assert clause in said.text


def test_pubacks_that_nobody_asked_for_move_nothing() -> None:
    async def main() -> None:
        reader = FakeReader([report(1), report(2)])
        async with FakeBroker() as broker:
            sink = make(broker.port)
            async with running(sink, reader):
                peer = await broker.accepted()
                sent = await peer.publishes(2)
                peer.send(v311.Puback(4711), v311.Puback(sent[1].packet_id), v311.Puback(sent[1].packet_id))
                await until(lambda: sink.status()["unknown_pubacks"] == 2)
                assert reader.commits == []
                peer.acknowledge(sent[0])
                await until(lambda: reader.done)

    run(main())


def test_broker_that_closes_all_the_time_gets_everything_in_order() -> None:
    async def main() -> None:
        reader = FakeReader([report(1 + 2 * n, 2) for n in range(100)])
        got: list[int] = []
        async with FakeBroker() as broker:
            sink = make(broker.port, window=16)
            async with running(sink, reader):
                while not reader.done:
                    peer = await broker.accepted()
                    sent = await peer.publishes(min(16, 200 - len(set(got))))
                    got += [number(packet) for packet in sent[:9]]  # the rest is lost with the connection
                    peer.acknowledge(*sent[:8])
                    if len(set(got)) == 200:
                        peer.acknowledge(*sent)
                        await until(lambda: reader.done)
                    peer.close()
        assert list(dict.fromkeys(got)) == list(range(1, 201))

    run(main())


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (v311.BAD_VERSION, "does not speak MQTT 3.1.1"),
        (v311.BAD_CLIENT_ID, "choose another client_id"),
        (v311.UNAVAILABLE, "see the broker's log"),
        (v311.BAD_CREDENTIALS, "correct username and password"),
        (v311.NOT_AUTHORISED, "access list"),
        (77, "code 77 is unknown"),
    ],
)
def test_refusals_say_what_to_do(code: int, remedy: str, said: Said) -> None:
    async def main() -> None:
        async with FakeBroker() as broker, running(make(broker.port), FakeReader()) as task:
            peer = await broker.peer()
            await peer.packet()
            peer.send(v311.Connack(code))
            await broker.peer()  # it tries again
            assert not task.done()

    run(main())
    assert remedy in said.text
    assert said.records[0].levelno == logging.WARNING


def test_nothing_listens_and_a_name_that_is_none(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with running(make(free_port()), FakeReader()):
            await until(lambda: "nothing listens at mqtt://127.0.0.1" in said.text)

        def no_such_name(*_: object, **__: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
        config = MqttConfig(Address("broker.invalid", 1883), "sink")
        sink = MqttSink(config, JsonPayload("gw"), sleep=lambda _: asyncio.sleep(0.001))
        async with running(sink, FakeReader()):
            await until(lambda: "the name 'broker.invalid' cannot be resolved" in said.text)

    run(main())


def test_stop_waits_for_what_is_in_flight() -> None:
    async def main() -> None:
        reader = FakeReader([report(1 + n) for n in range(10)])
        async with FakeBroker() as broker, running(make(broker.port, drain_timeout_s=20), reader) as task:
            peer = await broker.accepted()
            sent = await peer.publishes(10)
            task.cancel()
            await asyncio.sleep(BARELY_S)
            reader.append(report(11))  # too late for this run
            assert not task.done()
            peer.acknowledge(*sent)
            assert await peer.packet() == v311.Disconnect()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert reader.committed[1] == 10

    run(main())


def test_stop_does_not_wait_for_ever_nor_without_a_connection() -> None:
    async def main() -> None:
        reader = FakeReader([report(1)])
        async with FakeBroker() as broker:
            async with running(make(broker.port, drain_timeout_s=0.1), reader) as task:
                peer = await broker.accepted()
                await peer.publishes(1)
                task.cancel()
                await asyncio.wait([task], timeout=5)
                assert task.done()
            assert reader.commits == []
            async with running(make(broker.port, drain_timeout_s=1000), reader) as task:
                await broker.peer()
                task.cancel()
                await asyncio.wait([task], timeout=5)
                assert task.done()

    run(main())


def test_a_run_after_a_stop_starts_at_the_last_commit() -> None:
    async def main() -> None:
        reader = FakeReader([report(1), report(2)])
        async with FakeBroker() as broker:
            sink = make(broker.port, drain_timeout_s=0)
            async with running(sink, reader):
                peer = await broker.accepted()
                peer.acknowledge((await peer.publishes(2))[0])
                await until(lambda: reader.committed[1] == 1)
            async with running(sink, reader):
                peer = await broker.accepted()
                [packet] = await peer.publishes(1)
                assert number(packet) == 2

    run(main())


def test_an_idle_connection_is_kept_alive_and_a_dead_one_is_noticed(said: Said) -> None:
    async def main() -> None:
        async with FakeBroker() as broker, running(make(broker.port, keep_alive_s=1), FakeReader()):
            peer = await broker.accepted()
            assert peer.connect.keep_alive == 1
            for _ in range(2):
                assert await peer.packet() == v311.Pingreq()
                peer.send(v311.Pingresp())
            assert await peer.packet() == v311.Pingreq()
            await peer.ended()
            await broker.accepted()

    run(main())
    assert "did not answer for 0.5 s" in said.text


def test_large_window_goes_round_the_packet_identifiers() -> None:
    async def main() -> None:
        reader = FakeReader([report(1 + n) for n in range(70_000)])
        async with FakeBroker() as broker, running(make(broker.port, window=10_000), reader):
            peer = await broker.accepted()
            for count in range(0, 70_000, 1000):
                packets = await peer.publishes(1000)
                assert number(packets[0]) == count + 1
                peer.acknowledge(*packets)
            await until(lambda: reader.done)
        assert packets[-1].packet_id == 70_000 - fields.PUBLISH_IDS

    run(main())


def test_credentials_and_client_identifier_are_sent() -> None:
    async def main() -> None:
        async with FakeBroker() as broker:
            sink = make(broker.port, username="u", password=b"p")
            async with running(sink, FakeReader()):
                peer = await broker.accepted()
                assert peer.connect == v311.Connect(
                    "sink", keep_alive=60, clean_session=False, username="u", password=b"p"
                )
                await until(lambda: sink.status()["connected"] is True)

    run(main())


def test_retain_is_set_where_it_is_asked_for() -> None:
    async def main() -> None:
        reader = FakeReader([report(1)])
        async with FakeBroker() as broker, running(make(broker.port, retain=True), reader):
            peer = await broker.accepted()
            assert (await peer.publish()).retain
            peer.close()
            peer = await broker.accepted()
            assert (await peer.publish()).retain

    run(main())


def test_a_fault_of_the_store_ends_the_sink() -> None:
    class Broken(FakeReader):
        async def next_batch(self, limit: int) -> Any:
            raise OSError("disk")

    async def main() -> None:
        async with FakeBroker() as broker:
            with pytest.raises(OSError, match="disk"):
                await make(broker.port).run(Broken())

    run(main())


def test_backoff_doubles_with_jitter_up_to_its_bound() -> None:
    whole, half = Backoff(1, 5, lambda: 1.0), Backoff(1, 5, lambda: 0.0)
    assert [whole.pause() for _ in range(5)] == [1, 2, 4, 5, 5]
    assert [half.pause() for _ in range(3)] == [0.5, 1, 2]
    whole.reset()
    assert whole.pause() == 1


def test_backoff_starts_again_only_after_a_puback() -> None:
    """A broker that accepts and closes at once is not asked again and again without a pause."""

    async def main() -> None:
        pauses: list[float] = []

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)
            await asyncio.sleep(0)

        reader = FakeReader([report(1)])
        async with FakeBroker() as broker, running(make(broker.port, sleep=sleep), reader):
            for _ in range(3):
                peer = await broker.accepted()
                await peer.publishes(1)
                peer.close()
            peer = await broker.accepted()
            peer.acknowledge(*await peer.publishes(1))
            await until(lambda: reader.done)
            peer.close()
            await broker.accepted()
            assert pauses == [0.5, 1, 2, 0.5]

    run(main())
