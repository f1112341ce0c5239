"""Alerts on their way out of a real gateway: through kills, a night without uplink, TLS, judged by stock peers.

The mail server is aiosmtpd, the broker mosquitto, the receiver of webhooks http.server.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest
from aiosmtpd.controller import Controller

from fieldline_gateway.alerts.notify import Mail, Mqtt, NotifyError, Webhook
from fieldline_gateway.control import ask
from fieldline_gateway.errors import GatewayError
from fieldline_gateway.mqtt.address import Address
from fieldline_gateway.sinks.mqtt_config import MqttConfig
from fieldline_harness.mosquitto import Mosquitto, free_port
from fieldline_harness.subscriber import Subscriber
from tests.fakes.gateway_site import Gateway, linked, site, until
from tests.gateway.alerts.test_alerts import MESSAGE, Mailbox
from tests.gateway.mqtt.certificates import Pki, make_pki

KILLS = 4


@dataclass
class Hook:
    """A receiver of webhooks; `before` and `after` are called around each answer."""

    host: str = "127.0.0.1"
    port: int = 0
    tls: ssl.SSLContext | None = None
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None
    got: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """(Idempotency-Key, body)."""

    def __enter__(self) -> Self:
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                hook.got.append((self.headers["Idempotency-Key"], body))
                hook.before()
                try:
                    self.send_response(204)
                    self.end_headers()
                except OSError:
                    pass  # who asked was killed
                hook.after()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((self.host, self.port), Handler)
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def events(self) -> dict[int, str]:
        """The key under which each event came, by its number; an event under two keys fails the test."""
        told: dict[int, str] = {}
        for key, body in self.got:
            for event in body["events"]:
                assert told.setdefault(event["event"], key) == key, "one event under two keys"
        return told


def add(gateway: Gateway, *tables: str) -> Path:
    """More tables for the configuration; the control socket."""
    gateway.config.write_text(
        gateway.config.read_text() + "".join(f"[[notify]]\n{each}\n" for each in tables)
    )
    return gateway.config.parent / "data" / "control.sock"


def serving(pki: Pki) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.cert, pki.key)
    return context


@pytest.mark.parametrize("moment", ["before the answer", "after the answer"])
async def test_a_kill_in_the_middle_of_a_delivery_repeats_it_under_its_key(
    tmp_path: Path, moment: str
) -> None:
    async with site(tmp_path) as (gateway, _, __):
        loop, killed, dead = asyncio.get_running_loop(), 0, 0

        def kill() -> None:
            nonlocal killed, dead
            if killed < KILLS:
                killed += 1
                asyncio.run_coroutine_threadsafe(gateway.end(signal.SIGKILL), loop).result(20)
                dead += 1

        hook = Hook(before=kill) if moment == "before the answer" else Hook(after=kill)
        with hook:
            url = f'kind = "webhook"\nurl = "http://127.0.0.1:{hook.port}/"\nper_hour = 3600'
            door = add(gateway, url)
            await gateway.start()
            await linked(gateway)
            ask(door, "alert.test")
            for count in range(1, KILLS + 1):
                await until(lambda count=count: dead == count)  # type: ignore[misc]
                start = asyncio.create_task(gateway.start())
                if count < KILLS:  # it may be killed before it answers anybody
                    await until(lambda count=count: killed > count or not provoke(door))  # type: ignore[misc]
                    start.cancel()
                else:
                    await start
            await linked(gateway)
            ask(door, "alert.test")
            await until(lambda: ask(door, "alert.notifiers")["notifiers"][0]["waiting"] == 0)
            told = hook.events()
            assert len(told) >= 4 and len(told) % 2 == 0, (
                "each event of two tests or more, raised and cleared"
            )
            assert sorted(told) == list(range(1, len(told) + 1))
            assert len(set(told.values())) == len(told) <= len(hook.got)
            if moment == "before the answer":
                assert len(hook.got) == 4 + KILLS, "what was not answered came again, each time under its key"


def provoke(door: Path) -> bool:
    """Another event where the gateway has told all it had: it was killed once it had noted the answer."""
    with suppress(GatewayError):  # it starts, or is killed just now
        if not ask(door, "alert.notifiers")["notifiers"][0]["waiting"]:
            ask(door, "alert.test")
    return True


async def test_a_night_without_uplink_is_told_in_the_morning_once(tmp_path: Path) -> None:
    """Mail, webhook and MQTT. The night is some seconds: a test with a clock of its own waits six hours."""
    pki, box = make_pki(tmp_path / "pki"), Mailbox()
    smtp, http, mqtt = free_port(), free_port(), free_port()
    async with site(tmp_path) as (gateway, _, __):
        door = add(
            gateway,
            f'kind = "mail"\nhost = "localhost"\nport = {smtp}\nfrom = "gw@example.com"\nto = ["ops@example.com"]\n'
            f'tls_ca = "{pki.ca}"\nper_hour = 3600',
            f'kind = "webhook"\nurl = "https://localhost:{http}/"\ntls_ca = "{pki.ca}"\nper_hour = 3600',
            f'kind = "mqtt"\nurl = "mqtt://127.0.0.1:{mqtt}"\nper_hour = 3600',
        )

        def notifiers() -> list[dict[str, Any]]:
            told: list[dict[str, Any]] = ask(door, "alert.notifiers")["notifiers"]
            return told

        await gateway.start()
        await linked(gateway)
        ask(door, "alert.test")
        await until(lambda: all(each["last_error"] and each["waiting"] == 2 for each in notifiers()))
        await gateway.end(signal.SIGKILL)  # the power of the site went, too
        await gateway.start()
        await linked(gateway)
        await until(lambda: all(each["last_error"] for each in notifiers()))
        mail = Controller(
            box, hostname="127.0.0.1", port=smtp, tls_context=serving(pki), require_starttls=True
        )
        mail.start()
        try:
            with (
                Hook(port=http, tls=serving(pki)) as hook,
                Mosquitto(tmp_path / "broker", "allow_anonymous true\n", port=mqtt),
                Judge(mqtt) as judge,
            ):
                await until(lambda: all(each["waiting"] == 0 for each in notifiers()))
                assert [each["delivered"] for each in notifiers()] == [2, 2, 2]
                ask(door, "alert.test")  # what comes behind shows that nothing more of the night follows
                await until(lambda: all(each["delivered"] == 4 for each in notifiers()))
                await until(lambda: len(judge.bodies) >= 4)
        finally:
            mail.stop()
        ids = [message_from_bytes(each.content)["Message-ID"] for each in box.mails]
        assert len(ids) == 4 and len(set(ids)) == 4
        assert sorted(hook.events()) == [1, 2, 3, 4] and len(hook.got) == 4
        assert [body["event"] for body in judge.bodies] == [1, 2, 3, 4]
        assert len({body["key"] for body in judge.bodies}) == 4


class Judge(Subscriber):
    """A stock client of the broker that keeps what comes under alerts."""

    def __init__(self, port: int) -> None:
        super().__init__(port, "fieldline/+/alerts/#")
        self.bodies: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self.connect()
        super().__enter__()
        return self

    def _received(self, _client: Any, _data: Any, message: Any) -> None:
        with self.lock:
            self.bodies.append(json.loads(message.payload))


async def test_mail_goes_by_starttls_or_not_at_all(tmp_path: Path) -> None:
    pki, other, box = make_pki(tmp_path / "pki"), make_pki(tmp_path / "other"), Mailbox()
    port = free_port()
    mail = Mail("localhost", port, "gw@example.com", ("ops@example.com",), "starttls", tls=pki.client())
    plain = Controller(box, hostname="127.0.0.1", port=port)  # one that does not offer STARTTLS
    plain.start()
    try:
        with pytest.raises(NotifyError, match="STARTTLS"):
            await mail.deliver(MESSAGE)
    finally:
        plain.stop()
    server = Controller(box, hostname="127.0.0.1", port=port, tls_context=serving(pki), require_starttls=True)
    server.start()
    try:
        await mail.deliver(MESSAGE)
        (envelope,) = box.mails
        assert message_from_bytes(envelope.content)["Message-ID"] == "<book.mail.1-1@example.com>"
        foreign = Mail("localhost", port, "gw@example.com", ("ops@example.com",), tls=other.client())
        with pytest.raises(NotifyError, match="certificate verify failed"):
            await foreign.deliver(MESSAGE)
        assert len(box.mails) == 1
    finally:
        server.stop()


async def test_mail_goes_by_tls_from_the_first_byte_where_it_is_told_so(tmp_path: Path) -> None:
    pki, box, port = make_pki(tmp_path / "pki"), Mailbox(), free_port()
    server = Controller(box, hostname="localhost", port=port, ssl_context=serving(pki))
    server.start()
    try:
        mail = Mail("localhost", port, "gw@example.com", ("ops@example.com",), "tls", tls=pki.client())
        await mail.deliver(MESSAGE)
        assert len(box.mails) == 1
    finally:
        server.stop()


async def test_a_webhook_goes_by_tls_or_not_at_all(tmp_path: Path) -> None:
    pki, other = make_pki(tmp_path / "pki"), make_pki(tmp_path / "other")
    with Hook(tls=serving(pki)) as hook:
        await Webhook(f"https://localhost:{hook.port}/", tls=pki.client()).deliver(MESSAGE)
        with pytest.raises(NotifyError, match="CERTIFICATE_VERIFY_FAILED"):
            await Webhook(f"https://localhost:{hook.port}/", tls=other.client()).deliver(MESSAGE)
        assert [key for key, _ in hook.got] == ["book.mail.1-1"]
    with Hook("127.0.0.2", tls=serving(pki)) as hook:  # the name is checked, too
        with pytest.raises(NotifyError, match="IP address mismatch"):
            await Webhook(f"https://127.0.0.2:{hook.port}/", tls=pki.client()).deliver(MESSAGE)
        assert hook.got == []
    with Hook() as hook:  # one that does not speak TLS
        with pytest.raises(NotifyError, match="SSL"):
            await Webhook(f"https://localhost:{hook.port}/", tls=pki.client()).deliver(MESSAGE)
        assert hook.got == []


async def test_mosquitto_takes_alerts_and_refuses_those_it_does_not_want(tmp_path: Path) -> None:
    rights = tmp_path / "rights"
    rights.write_text("topic readwrite fieldline/site/alerts/#\n")
    settings = f"allow_anonymous true\nacl_file {rights}\n"
    with Mosquitto(tmp_path / "broker", settings) as broker, Judge(broker.port) as judge:
        config = MqttConfig(Address("127.0.0.1", broker.port), "gateway-mqtt", level=5)
        await Mqtt(config, "fieldline/{gateway}/alerts/{kind}").deliver(MESSAGE)
        await until(lambda: judge.bodies)
        assert judge.bodies[0]["key"] == "book.mail.1" and judge.bodies[0]["alert"]["kind"] == "clone"
        with pytest.raises(NotifyError, match="0x87"):  # MQTT 5.0, 3.4.2.1: not authorized
            await Mqtt(config, "secrets/{kind}").deliver(MESSAGE)
    with pytest.raises(NotifyError):
        await Mqtt(config, "fieldline/{gateway}/alerts/{kind}").deliver(MESSAGE)
    with socket.socket() as deaf:  # takes connections and never says a word
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        silent = MqttConfig(
            Address("127.0.0.1", deaf.getsockname()[1]), "gateway-mqtt", connect_timeout_s=0.2
        )
        with pytest.raises(NotifyError):
            await Mqtt(silent, "fieldline/{gateway}/alerts/{kind}").deliver(MESSAGE)
