"""Our own listener beyond what every broker does (tests/contracts): its bounds, and how it starts and stops."""

from __future__ import annotations

import threading
import time

import pytest

from fieldline_gateway.mqtt import peer as peer_module
from fieldline_gateway.mqtt.codec import v311
from fieldline_gateway.mqtt.errors import MqttError
from fieldline_gateway.mqtt.listener import Listener
from fieldline_gateway.mqtt.sessions import Limits
from tests.gateway.mqtt.support import TIMEOUT_S, ListenerThread, RawClient, run


def wait(condition: object) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def test_binds_to_loopback_and_says_where() -> None:
    with ListenerThread() as listener:
        assert listener.listener.status()["address"] == f"127.0.0.1:{listener.port}"
        assert listener.port > 0


def test_a_port_in_use_is_said_with_what_to_do() -> None:
    async def main(port: int) -> None:
        with pytest.raises(MqttError, match=rf"127\.0\.0\.1:{port}.*another broker"):
            async with Listener("127.0.0.1", port):
                pass

    with ListenerThread() as listener:
        run(main(listener.port))


def test_stop_ends_all_connections() -> None:
    with ListenerThread() as listener:
        client = RawClient(listener.port, v311.Connect("c"))
        silent = RawClient(listener.port)
        wait(lambda: len(listener.listener.peers) == 2)
    assert client.closed()
    assert silent.closed()


def test_who_does_not_say_connect_is_closed() -> None:
    with ListenerThread(connect_timeout_s=0.1) as listener, RawClient(listener.port) as client:
        client.raw(b"\x10")
        assert client.closed()
        assert not listener.listener.peers


def test_keep_alive_of_zero_is_none() -> None:
    with (
        ListenerThread(connect_timeout_s=0.05) as listener,
        RawClient(listener.port, v311.Connect("c", keep_alive=0)) as client,
    ):
        time.sleep(0.2)
        client.synchronise()


def test_packets_are_bounded() -> None:
    with ListenerThread(Limits(max_packet=1000)) as listener:
        with RawClient(listener.port, v311.Connect("c")) as client:
            client.send(v311.Publish("t", bytes(990)))
            client.synchronise()
            client.send(v311.Publish("t", bytes(1000)))
            assert client.closed()
        assert listener.listener.status()["protocol_errors"] == 1


def test_clients_and_connections_are_bounded() -> None:
    with ListenerThread(Limits(max_clients=2)) as listener:
        port = listener.port
        with RawClient(port, v311.Connect("1")) as one, RawClient(port, v311.Connect("2")):
            with RawClient(port, v311.Connect("3")) as three:
                assert three.connack == v311.Connack(v311.UNAVAILABLE)
                assert three.closed()
            with RawClient(port), RawClient(port), RawClient(port) as too_many:
                assert too_many.closed()
            one.synchronise()


@pytest.mark.parametrize("qos", [0, 1])
def test_a_subscriber_that_does_not_read_stalls_nobody(qos: int) -> None:
    """It gets what fits; a publisher and another subscriber do not notice."""
    count, size = 400, 50_000
    with ListenerThread(Limits(max_queued=100)) as listener:
        slow = RawClient(listener.port, v311.Connect("slow", clean_session=False))
        quick = RawClient(listener.port, v311.Connect("quick"))
        for client in (slow, quick):
            client.send(v311.Subscribe(1, (("t", qos),)))
            assert client.receive() == v311.Suback(1, (qos,))
        got: list[int] = []

        def read() -> None:
            while len(got) < count:
                packet = quick.published()
                got.append(int.from_bytes(packet.payload[:4], "big"))
                if qos:
                    quick.send(v311.Puback(packet.packet_id))

        reading = threading.Thread(target=read, daemon=True)
        reading.start()
        with RawClient(listener.port, v311.Connect("publisher")) as publisher:
            for number in range(count):
                payload = number.to_bytes(4, "big") + bytes(size)
                publisher.send(v311.Publish("t", payload, 1, packet_id=number + 1))
                assert publisher.receive() == v311.Puback(number + 1)
                wait(lambda number=number: len(got) >= number - 3)  # QoS 0 to who is behind would be dropped
        reading.join(TIMEOUT_S)
        assert got == list(range(count))
        status = listener.listener.status()
        if qos:
            assert status["overflowed"] == 1
            assert slow.closed()
            again = RawClient(listener.port, v311.Connect("slow", clean_session=False))
            assert again.connack == v311.Connack()  # no session: it is told that something is missing
        else:
            dropped = status["dropped_qos0"]
            assert isinstance(dropped, int)
            assert 0 < dropped < count
            received = sum(1 for _ in range(count - dropped) if slow.published())
            assert received == count - dropped
            slow.synchronise()


def test_who_asks_and_never_reads_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_module, "MAX_UNREAD", 100_000)
    with ListenerThread() as listener:
        client = RawClient(listener.port, v311.Connect("c"), receive_buffer=4096)
        other = RawClient(listener.port, v311.Connect("other"))
        pings = v311.Pingreq().to_bytes() * 10_000
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            for _ in range(1000):
                client.raw(pings)
        other.synchronise()


def test_peers_in_all_states_are_forgotten() -> None:
    with ListenerThread() as listener:
        for connect in (None, v311.Connect("a"), v311.Connect("", keep_alive=5)):
            with RawClient(listener.port, connect):
                pass
        with RawClient(listener.port, v311.Connect("b")) as client:
            client.send(v311.Disconnect())
            assert client.closed()
        wait(lambda: not listener.listener.peers)
        assert listener.listener.status()["sessions"] == 0
