"""What an MQTT sink is told: the server, who we are, how to behave when things go wrong.

Rules: a wrong value is a ConfigError that names the line; secrets are in no repr.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from fieldline_gateway.mqtt.client import Address
from fieldline_gateway.mqtt.codec.fields import MAX_FIELD
from fieldline_gateway.mqtt.window import MAX_WINDOW
from fieldline_gateway.sinks.payload import DEFAULT_TOPIC, topic_error
from fieldline_host.tomlfile import Table

PORTS = {"mqtt": 1883, "mqtts": 8883}

DEFAULT_WINDOW = 1000
"""Fills a link of 100 ms at 10,000 messages a second; on loopback mosquitto is no faster with more."""


@dataclass(frozen=True, slots=True)
class MqttConfig:
    """An MQTT sink. Times in seconds."""

    address: Address
    client_id: str
    username: str | None = None
    password: bytes | None = field(default=None, repr=False)
    topic: str = DEFAULT_TOPIC
    retain: bool = False
    """Publish with retain: who comes later finds the last message of each topic."""
    window: int = DEFAULT_WINDOW
    """QoS 1 messages in flight: as many are repeated at most after a lost connection."""
    keep_alive_s: int = 60
    connect_timeout_s: float = 10.0
    progress_timeout_s: float = 30.0
    """Messages in flight and no PUBACK for so long: the connection is dropped."""
    drain_timeout_s: float = 5.0
    """How long a stop waits for the PUBACKs of what is in flight."""
    backoff_first_s: float = 0.5
    backoff_most_s: float = 60.0

    @classmethod
    def from_table(cls, table: Table, gateway: str, folder: Path = Path()) -> MqttConfig:
        """From a table like [mqtt], whose paths are relative to `folder`; ConfigError names the line."""
        username = table.get("username", str)
        password = _password(table, folder)
        if password is not None and username is None:
            raise table.error("password", 'a password needs a username; add a line: username = "..."')
        topic = table.get("topic", str, DEFAULT_TOPIC) or ""
        if fault := topic_error(topic):
            raise table.error("topic", f"'topic' {fault}")
        return cls(
            address=_address(table, folder),
            client_id=table.get("client_id", str) or f"fieldline-{gateway}",
            username=username,
            password=password,
            topic=topic,
            retain=bool(table.get("retain", bool, False)),
            window=table.integer("window", DEFAULT_WINDOW, low=1, high=MAX_WINDOW),
            keep_alive_s=table.integer("keep_alive_s", 60, low=1, high=MAX_FIELD),
            progress_timeout_s=table.integer("progress_timeout_s", 30, low=1, high=3600),
        )


def _password(table: Table, folder: Path) -> bytes | None:
    """From `password`, or from the first line of the file that `password_file` names."""
    password, path = table.get("password", str), table.get("password_file", str)
    if path is None:
        return None if password is None else password.encode()
    if password is not None:
        raise table.error("password_file", "give either password or password_file, not both")
    try:
        return (folder / path).read_bytes().splitlines()[0]
    except IndexError:
        raise table.error("password_file", f"{path} is empty; write the password in its first line") from None
    except OSError as error:
        raise table.error("password_file", f"{path} cannot be read: {error.strerror}") from None


def _address(table: Table, folder: Path) -> Address:
    url = table.need("url", str)
    example = "write for example mqtt://broker.example:1883, or mqtts:// for TLS"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise table.error("url", f"'url' {url!r}: {error}; {example}") from None
    if parts.scheme not in PORTS or not parts.hostname:
        raise table.error("url", f"'url' {url!r} is no MQTT address; {example}")
    if parts.username is not None:
        raise table.error("url", "'url' must not hold a user name; give username and password_file beside it")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise table.error("url", f"'url' {url!r} goes on after the port; {example}")
    tls = _tls(table, folder, parts.scheme == "mqtts")
    return Address(parts.hostname, port or PORTS[parts.scheme], tls)


def _tls(table: Table, folder: Path, wanted: bool) -> ssl.SSLContext | None:
    """A context that checks the broker's certificate against tls_ca, or else the system's CAs."""
    names = (table.get(name, str) for name in ("tls_ca", "tls_cert", "tls_key"))
    ca, cert, key = (None if name is None else folder / name for name in names)
    if not wanted:
        for name, value in (("tls_ca", ca), ("tls_cert", cert), ("tls_key", key)):
            if value is not None:
                raise table.error(name, f"'{name}' needs TLS; write mqtts:// in url")
        return None
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise table.error("tls_ca", f"'tls_ca' {ca}: {error.strerror or error}; give a PEM file") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if key is not None and cert is None:
        raise table.error("tls_key", "'tls_key' needs tls_cert, the client certificate that it belongs to")
    if cert is not None:
        try:
            context.load_cert_chain(cert, key)
        except (OSError, ssl.SSLError) as error:
            text = f"'tls_cert' {cert}: {error.strerror or error}; give PEM files, the key without a password"
            raise table.error("tls_cert", text) from None
    return context
