"""How an alert goes out: mail, webhook, MQTT. Each delivers one message or raises NotifyError; who calls repeats.

Rules: delivered means that the peer said so (250 to DATA, 2xx, PUBACK). What goes beyond this machine is encrypted,
unless the person said `insecure`. A message carries its key (Message-ID, Idempotency-Key, "key"), so that a repeat
after a kill can be told. No secret in an error.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import http.client
import json
import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any, Protocol
from urllib.parse import urlsplit

from fieldline_gateway.alerts.model import Message
from fieldline_gateway.mqtt.client import Events
from fieldline_gateway.mqtt.codec import fields
from fieldline_gateway.mqtt.dialer import Dialer
from fieldline_gateway.mqtt.errors import MqttError
from fieldline_gateway.mqtt.window import Run
from fieldline_gateway.sinks.mqtt_config import MqttConfig

TIMEOUT_S = 30.0
"""For each step with a server: mail servers grey-list and are slow, none needs longer."""
MAX_ANSWER = 4096
"""Bytes of a webhook's answer that are read: only its status counts."""


class NotifyError(Exception):
    """It was not delivered; the text says why."""


class Notifier(Protocol):
    async def deliver(self, message: Message) -> None:
        """NotifyError where the peer did not take it."""
        ...


@dataclass(frozen=True, slots=True)
class Mail:
    """SMTP (RFC 5321)."""

    host: str
    port: int
    sender: str
    to: tuple[str, ...]
    security: str = "starttls"
    """starttls, tls or none."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None

    async def deliver(self, message: Message) -> None:
        await asyncio.to_thread(self._send, self.mail(message))

    def mail(self, message: Message) -> EmailMessage:
        """The same bytes for the same message."""
        mail = EmailMessage()
        mail["From"] = self.sender
        mail["To"] = ", ".join(self.to)
        mail["Subject"] = message.subject
        mail["Date"] = formatdate(message.events[-1].alert["changed_ms"] / 1000)
        mail["Message-ID"] = f"<{message.key}@{self.sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answers from robots
        mail.set_content(message.text + f"\n\n{message.gateway}, {message.key}\n")
        return mail

    def _send(self, mail: EmailMessage) -> None:
        try:
            if self.security == "tls":
                client: smtplib.SMTP = smtplib.SMTP_SSL(
                    self.host, self.port, timeout=TIMEOUT_S, context=self.tls or ssl.create_default_context()
                )
            else:
                client = smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_S)
            with client:
                if self.security == "starttls":
                    client.starttls(context=self.tls or ssl.create_default_context())
                if self.username is not None:
                    client.login(self.username, self.password or "")
                client.send_message(mail)
        except smtplib.SMTPAuthenticationError as error:
            raise NotifyError(
                f"{self.host}:{self.port} refused {self.username} ({error.smtp_code})"
            ) from None
        except (smtplib.SMTPException, OSError) as error:
            raise NotifyError(f"{self.host}:{self.port}: {error}") from error


@dataclass(frozen=True, slots=True)
class Webhook:
    """HTTPS POST of JSON. X-Fieldline-Signature is hex(HMAC-SHA256(secret, body))."""

    url: str
    secret: bytes | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    tls: ssl.SSLContext | None = None

    async def deliver(self, message: Message) -> None:
        await asyncio.to_thread(self._post, message)

    def _post(self, message: Message) -> None:
        body = json.dumps(
            {
                "text": f"{message.subject}\n{message.text}",
                "key": message.key,
                "gateway": message.gateway,
                "severity": message.severity,
                "events": [event_json(event) for event in message.events],
                "lost": message.skipped,
            }
        ).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "fieldline-gateway",
            "Idempotency-Key": message.key,
            **dict(self.headers),
        }
        if self.secret is not None:
            headers["X-Fieldline-Signature"] = (
                "sha256=" + hmac.new(self.secret, body, hashlib.sha256).hexdigest()
            )
        parts = urlsplit(self.url)
        where = f"{parts.hostname}"
        try:
            if parts.scheme == "https":
                client: http.client.HTTPConnection = http.client.HTTPSConnection(
                    parts.hostname or "",
                    parts.port,
                    timeout=TIMEOUT_S,
                    context=self.tls or ssl.create_default_context(),
                )
            else:
                client = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
            try:
                path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                client.request("POST", path, body, headers)
                answer = client.getresponse()
                answer.read(MAX_ANSWER)
            finally:
                client.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotifyError(f"{where}: {type(error).__name__} {error}") from error
        if not 200 <= answer.status < 300:
            raise NotifyError(f"{where} answered {answer.status} {answer.reason}")


@dataclass(frozen=True, slots=True)
class Mqtt:
    """A message an event, QoS 1, on a topic with the alert's kind at its end; a connection for each delivery."""

    mqtt: MqttConfig
    topic: str

    async def deliver(self, message: Message) -> None:
        events = message.events
        waiting = set(range(1, len(events) + 1))
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def acknowledged(idents: Sequence[int]) -> bool:
            waiting.difference_update(idents)
            if not waiting and not done.done():
                done.set_result("")
            return False

        def refused(_: int, code: int, words: str) -> None:
            if not done.done():
                done.set_result(f"refused with 0x{code:02x}: {words}")

        calls = Events(on_pubacks=acknowledged, on_writable=lambda: None, on_refused=refused)
        why = ""
        for address in self.mqtt.addresses:
            try:
                connection = await Dialer(self.mqtt.level).open(
                    address, self.mqtt.connect(clean=True), calls, self.mqtt.connect_timeout_s
                )
            except MqttError as error:
                why = str(error)
                continue
            try:
                for start in range(0, len(events), 20):  # small servers take 20 in flight (5.0: 3.2.2.3.3)
                    part = events[start : start + 20]
                    run = [self._message(message, start + i) for i in range(len(part))]
                    connection.publish(Run(run, start + 1))
                    await self._wait(connection.closed, done, waiting, start + len(part))
                if done.done() and done.result():
                    raise NotifyError(f"{address} {done.result()}")
                return
            finally:
                connection.disconnect()
        raise NotifyError(why)

    async def _wait(
        self, closed: asyncio.Future[MqttError], done: asyncio.Future[str], waiting: set[int], up_to: int
    ) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while any(ident <= up_to for ident in waiting) and not done.done():
                    if closed.done():
                        raise NotifyError(str(closed.result()))
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise NotifyError(f"no PUBACK within {TIMEOUT_S:g} s") from None

    def _message(self, message: Message, at: int) -> tuple[bytes, bytes, bytes]:
        event = message.events[at]
        topic = self.topic.format(gateway=message.gateway, kind=event.alert["kind"])
        body = {**event_json(event), "key": f"{message.key.rpartition('.')[0]}.{event.seq}"}
        return fields.text(topic), json.dumps(body).encode(), b""


def event_json(event: Any) -> dict[str, Any]:
    """An event as programs get it."""
    return {"event": event.seq, "what": event.what, "alert": dict(event.alert)}
