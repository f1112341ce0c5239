"""Our listener with MQTT 5.0 beyond what every broker does, and who it lets in."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fieldline_gateway.mqtt import security as security_module
from fieldline_gateway.mqtt.address import Address
from fieldline_gateway.mqtt.client import Events
from fieldline_gateway.mqtt.codec import reasons, v5, v311
from fieldline_gateway.mqtt.codec.properties import NONE, Properties
from fieldline_gateway.mqtt.dialer import Dialer
from fieldline_gateway.mqtt.errors import MqttError
from fieldline_gateway.mqtt.listener import Listener
from fieldline_gateway.mqtt.security import Passwords, Security, hash_password, server_tls
from fieldline_gateway.mqtt.sessions import Limits
from tests.gateway.mqtt.certificates import Pki, make_pki
from tests.gateway.mqtt.support import TIMEOUT_S, ListenerThread, RawClient, run


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def passwords(tmp_path_factory: pytest.TempPathFactory) -> Passwords:
    path = tmp_path_factory.mktemp("passwords") / "file"
    path.write_text(f"# who may come in\n\nnode:{hash_password(b'right')}\na:b:{hash_password(b'')}\n")
    return Passwords.load(path)


@pytest.fixture
def listener() -> Iterator[ListenerThread]:
    with ListenerThread(Limits(max_packet=1000, away_s=100, max_aliases=2)) as it:
        yield it


def wait(condition: Any) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def test_it_says_what_it_does_not_do(listener: ListenerThread) -> None:
    connect = v5.Connect("", properties=Properties(session_expiry=1_000_000))
    with RawClient(listener.port, connect) as client:
        found = client.connack.properties
        assert client.connack.code == 0
        assert found.assigned_client_id.startswith("auto-")
        assert found.session_expiry == 100
        assert (found.maximum_qos, found.maximum_packet_size, found.topic_alias_maximum) == (1, 1000, 2)
        assert (found.identifiers_available, found.shared_available) == (False, False)


@pytest.mark.parametrize(
    ("connect", "code"),
    [
        (
            v5.Connect("c", properties=Properties(authentication_method="x")),
            reasons.BAD_AUTHENTICATION_METHOD,
        ),
        (v5.Connect("c", will=v5.Will("t", b"", 2)), reasons.QOS_NOT_SUPPORTED),
    ],
    ids=["authentication method", "will of QoS 2"],
)
def test_refused_connect(listener: ListenerThread, connect: v5.Connect, code: int) -> None:
    with RawClient(listener.port, connect) as client:
        assert client.connack == v5.Connack(code)
        assert client.closed()


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (v5.Publish("t", b"", 2, packet_id=1).to_bytes(), reasons.QOS_NOT_SUPPORTED),
        (v5.Publish("t", bytes(1000)).to_bytes(), reasons.PACKET_TOO_LARGE),
        (v5.Publish("", b"", properties=Properties(topic_alias=1)).to_bytes(), reasons.TOPIC_ALIAS_INVALID),
        (v5.Publish("t", b"", properties=Properties(topic_alias=3)).to_bytes(), reasons.TOPIC_ALIAS_INVALID),
        (v5.Subscribe(1, (v5.Filter("a/#/b"),)).to_bytes(), reasons.TOPIC_FILTER_INVALID),
        (v5.Connect("again").to_bytes(), reasons.PROTOCOL_ERROR),
        (v5.Disconnect(properties=Properties(session_expiry=1)).to_bytes(), reasons.PROTOCOL_ERROR),
        (b"\x30\x01\x00", reasons.MALFORMED_PACKET),
    ],
    ids=["QoS 2", "size", "alias of nothing", "alias", "filter", "CONNECT", "session expiry", "malformed"],
)
def test_violations_are_told(listener: ListenerThread, raw: bytes, code: int) -> None:
    with RawClient(listener.port, v5.Connect("c")) as client:
        client.raw(raw)
        goodbye = client.receive()
        assert isinstance(goodbye, v5.Disconnect)
        assert goodbye.code == code
        assert goodbye.properties.reason_string
        assert client.closed()


def test_no_reason_for_who_wants_none(listener: ListenerThread) -> None:
    with RawClient(listener.port, v5.Connect("c", properties=Properties(request_problem=False))) as client:
        client.raw(b"\x30\x01\x00")
        assert client.receive() == v5.Disconnect(reasons.MALFORMED_PACKET)


def test_malformed_connect_ends_the_connection(listener: ListenerThread) -> None:
    for raw in ("100d00044d5154540503003c000000", "40020001", "101000044d5154540502003c03210000 0000"):
        with RawClient(listener.port) as client:
            client.raw(bytes.fromhex(raw))
            assert client.closed()


def test_topic_aliases_of_a_client(listener: ListenerThread) -> None:
    with RawClient(listener.port, v5.Connect("c")) as client:
        client.send(v5.Subscribe(1, (v5.Filter("#", 0),)))
        client.receive()
        for topic, alias in (("a", 1), ("b", 2), ("", 1), ("c", 1), ("", 1), ("", 2)):
            client.send(v5.Publish(topic, b"", properties=Properties(topic_alias=alias)))
        packets = [client.published() for _ in range(6)]
        assert [packet.topic for packet in packets] == ["a", "b", "a", "c", "c", "b"]
        assert all(packet.properties == NONE for packet in packets)


def test_take_over_and_stop_are_told(listener: ListenerThread) -> None:
    first = RawClient(listener.port, v5.Connect("c"))
    second = RawClient(listener.port, v5.Connect("c"))
    assert first.receive().code == reasons.SESSION_TAKEN_OVER
    listener.__exit__()
    assert second.receive().code == reasons.SHUTTING_DOWN
    assert second.closed()
    listener.__init__()  # type: ignore[misc]  # the fixture stops it once more
    listener.__enter__()


def test_disconnect_with_will_and_with_another_expiry(listener: ListenerThread) -> None:
    with RawClient(listener.port, v5.Connect("judge")) as judge:
        judge.send(v5.Subscribe(1, (v5.Filter("w"),)))
        judge.receive()
        connect = v5.Connect("c", will=v5.Will("w", b"gone"), properties=Properties(session_expiry=50))
        with RawClient(listener.port, connect) as client:
            client.send(v5.Disconnect(properties=Properties(session_expiry=0)))
            assert client.closed()
        wait(lambda: listener.listener.broker.sessions == 1)
        with RawClient(listener.port, connect) as client:
            client.send(v5.Disconnect(reasons.DISCONNECT_WITH_WILL))
            assert client.closed()
        assert judge.published().payload == b"gone"  # and none of the first
        assert listener.listener.broker.sessions == 2


def test_session_and_will_delay_by_the_clock() -> None:
    with ListenerThread() as listener, RawClient(listener.port, v5.Connect("judge")) as judge:
        judge.send(v5.Subscribe(1, (v5.Filter("w"),)))
        judge.receive()
        will = v5.Will("w", b"gone", properties=Properties(will_delay=1))
        with RawClient(listener.port, v5.Connect("c", will=will, properties=Properties(session_expiry=1))):
            pass
        assert judge.published().payload == b"gone"
        wait(lambda: listener.listener.broker.sessions == 1)


def test_our_client_is_told_of_a_take_over(listener: ListenerThread) -> None:
    port = listener.port

    async def main() -> str:
        events = Events(lambda ids: False, lambda: None)
        first = await Dialer().open(Address("127.0.0.1", port), v5.Connect("same"), events, 20.0)
        second = await Dialer().open(Address("127.0.0.1", port), v5.Connect("same"), events, 20.0)
        reason = await first.closed
        second.disconnect()
        return str(reason)

    assert "another client uses the client identifier 'same'" in run(main())


# who is let in


def test_password_file(passwords: Passwords) -> None:
    assert passwords.check("node", b"right")
    assert passwords.check("a:b", b"")
    assert not passwords.check("node", b"wrong")
    assert not passwords.check("nobody", b"right")
    assert not passwords.check(None, None)
    assert passwords.known("node", b"right")
    assert not passwords.known("node", b"wrong")
    assert not passwords.known(None, None)
    assert hash_password(b"x") != hash_password(b"x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds nobody"),
        ("node:secret\n", ":1: no name with a hash"),
        pytest.param(f"# c\n:{hash_password(b'x')}\n", ":2: no name", id="no name"),
        pytest.param(f"n:{hash_password(b'x')}\nn:{hash_password(b'x')}\n", ":2: twice", id="twice"),
        ("n:scrypt$1048576$8$1$AAAA$" + "A" * 43 + "=", ":1:"),
        ("n:scrypt$16384$8$1$!!$" + "A" * 43 + "=", ":1:"),
        ("n:scrypt$16384$8$1$AAAA$AAAA", ":1:"),
    ],
)
def test_bad_password_file_names_the_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "p").write_text(text)
    with pytest.raises(MqttError, match=words):
        Passwords.load(tmp_path / "p")


def test_missing_password_file(tmp_path: Path) -> None:
    with pytest.raises(MqttError, match="cannot be read"):
        Passwords.load(tmp_path / "none")


@pytest.mark.parametrize("new", [False, True], ids=["3.1.1", "5.0"])
def test_passwords_are_asked_for(passwords: Passwords, new: bool) -> None:
    refusal = v5.Connack(reasons.BAD_CREDENTIALS) if new else v311.Connack(v311.BAD_CREDENTIALS)

    def connect(name: str | None, password: bytes | None) -> Any:
        kind = v5.Connect if new else v311.Connect
        return kind("c", username=name, password=password)

    with ListenerThread(security=Security(passwords=passwords)) as listener:
        for name, password in (("node", b"wrong"), ("who", b"right"), (None, None), ("node", None)):
            with RawClient(listener.port, connect(name, password)) as client:
                assert client.connack == refusal
                assert client.closed()
        for _ in range(2):  # the second time from memory
            with RawClient(listener.port, connect("node", b"right")) as client:
                assert client.connack.code == 0
                client.synchronise()
        assert listener.listener.status()["refused_logins"] == 4


def test_what_comes_before_the_password_is_checked_waits(passwords: Passwords) -> None:
    """A client may send on after its CONNECT without waiting for the answer (3.1.4)."""
    with (
        ListenerThread(security=Security(passwords=passwords)) as listener,
        RawClient(listener.port) as client,
    ):
        connect = v311.Connect("c", username="a:b", password=b"")
        client.send(connect, v311.Subscribe(1, (("t", 0),)), v311.Publish("t", b"1"), v311.Pingreq())
        client.send(v311.Publish("t", b"2"))
        answers = [client.receive() for _ in range(5)]
        kinds = [type(answer).__name__ for answer in answers]
        assert kinds == ["Connack", "Suback", "Publish", "Pingresp", "Publish"] or kinds == [
            "Connack", "Suback", "Publish", "Publish", "Pingresp",
        ]  # fmt: skip


def test_nothing_is_read_while_a_password_is_checked(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    checking, go_on = threading.Event(), threading.Event()

    def check(self: Passwords, name: str | None, password: bytes | None) -> bool:
        checking.set()
        return go_on.wait(TIMEOUT_S)

    monkeypatch.setattr(Passwords, "known", lambda *_: False)
    monkeypatch.setattr(Passwords, "check", check)
    with (
        ListenerThread(security=Security(passwords=passwords)) as listener,
        RawClient(listener.port) as client,
    ):
        client.send(v311.Connect("c", username="x", password=b"y"))
        assert checking.wait(TIMEOUT_S)
        client.send(v311.Pingreq())
        time.sleep(0.1)  # for a listener that would read it
        go_on.set()
        assert client.receive() == v311.Connack()
        assert client.receive() == v311.Pingresp()


def test_passwords_to_check_are_bounded(passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    from fieldline_gateway.mqtt import listener as listener_module

    monkeypatch.setattr(listener_module, "MAX_CHECKS", 0)
    with (
        ListenerThread(security=Security(passwords=passwords)) as listener,
        RawClient(listener.port, v311.Connect("c", username="node", password=b"x")) as client,
    ):
        assert client.connack == v311.Connack(v311.UNAVAILABLE)


@pytest.mark.parametrize("wanted", ["required", "optional"])
def test_tls_with_client_certificates(pki: Pki, passwords: Passwords, wanted: str) -> None:
    context = server_tls(pki.cert, pki.key, pki.ca, wanted)
    with ListenerThread(security=Security(context, passwords)) as listener:
        port = listener.port
        with RawClient(port, v5.Connect("c"), tls=pki.client(certificate=True)) as client:
            assert client.connack.code == 0  # the certificate is enough
            client.send(v5.Subscribe(1, (v5.Filter("t", 1),)), v5.Publish("t", bytes(100_000)))
            assert isinstance(client.receive(), v5.Suback)
            assert len(client.published().payload) == 100_000
        connect = v5.Connect("c", username="node", password=b"right")
        if wanted == "optional":
            with RawClient(port, connect, tls=pki.client()) as client:
                assert client.connack.code == 0
            with RawClient(port, v5.Connect("c"), tls=pki.client()) as client:
                assert client.connack.code == reasons.BAD_CREDENTIALS
        else:
            with pytest.raises((EOFError, ssl.SSLError)):
                RawClient(port, connect, tls=pki.client())
        with RawClient(port) as plain:
            plain.send(connect)
            assert plain.closed()
        wait(lambda: not listener.listener.peers)
        assert listener.listener.status()["tls_errors"] == (1 if wanted == "optional" else 2)


def test_who_does_not_finish_tls_is_closed_and_forgotten(pki: Pki) -> None:
    context = server_tls(pki.cert, pki.key)
    with ListenerThread(connect_timeout_s=0.2, security=Security(context)) as listener:
        client = RawClient(listener.port)
        assert client.closed()
        wait(lambda: not listener.listener.peers)


def test_stop_ends_a_handshake(pki: Pki) -> None:
    with ListenerThread(security=Security(server_tls(pki.cert, pki.key))) as listener:
        client = RawClient(listener.port)
        wait(lambda: len(listener.listener.peers) == 1)
    assert client.closed()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda pki: server_tls(pki.ca.parent / "none"), "listener's certificate"),
        (lambda pki: server_tls(pki.cert, pki.client_key), "listener's certificate"),
        (lambda pki: server_tls(pki.cert, pki.key, pki.key), "clients' CA"),
        (lambda pki: server_tls(pki.cert, pki.key, pki.ca, "perhaps"), "required"),
    ],
    ids=["missing", "not its key", "no CA", "word"],
)
def test_wrong_files_are_named(pki: Pki, make: Any, words: str) -> None:
    with pytest.raises(MqttError, match=words):
        make(pki)


def test_the_network_is_not_let_in_by_accident(pki: Pki, passwords: Passwords) -> None:
    tls = server_tls(pki.cert, pki.key)
    strict = server_tls(pki.cert, pki.key, pki.ca)
    for host in ("0.0.0.0", "", "192.0.2.1", "::", "example.org"):
        for security, words in (
            (Security(), "without TLS .* and without passwords"),
            (Security(tls), "without passwords"),
            (Security(passwords=passwords), "without TLS"),
        ):
            with pytest.raises(MqttError, match=words):
                security.check_bind(host)
        Security(tls, passwords).check_bind(host)
        Security(strict).check_bind(host)
        Security(insecure=True).check_bind(host)
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        Security().check_bind(host)

    async def main() -> None:
        with pytest.raises(MqttError, match="insecure = true"):
            async with Listener("0.0.0.0", 0):
                pass

    run(main())


def test_guessing_takes_as_long_for_nobody_as_for_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in work, not by a clock."""
    work: list[int] = []
    kept = security_module._Hash.of

    def counted(self: Any, password: bytes) -> bytes:
        work.append(self.n * self.r * self.p)
        return kept(self, password)

    monkeypatch.setattr(security_module._Hash, "of", counted)
    known = security_module._parse(hash_password(b"x"))
    assert known
    passwords = Passwords({"node": known})
    work.clear()
    passwords.check("node", b"wrong")
    passwords.check("nobody", b"wrong")
    assert len(work) == 2
    assert work[0] == work[1]
