"""What an MQTT sink is told: the server, who we are, how to behave when things go wrong.

Rules: a wrong value is a ConfigError that names the line; secrets are in no repr.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from fieldline_gateway.mqtt.address import Address, Proxy
from fieldline_gateway.mqtt.codec.fields import MAX_FIELD
from fieldline_gateway.mqtt.codec.properties import Properties
from fieldline_gateway.mqtt.codec.v5 import Connect, Will
from fieldline_gateway.mqtt.window import MAX_WINDOW
from fieldline_gateway.pace import MAX_FRESH_S, Pace
from fieldline_gateway.sinks.payload import DEFAULT_TOPIC, topic_error
from fieldline_host.tomlfile import Table

PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
LEVELS = {"5": 5, "3.1.1": 4}
SESSION_S = 24 * 3600
"""How long a server of MQTT 5.0 keeps our session: as long as a connection is worth resuming."""

DEFAULT_WINDOW = 1000
"""Fills a link of 100 ms at 10,000 messages a second; on loopback mosquitto is no faster with more."""


@dataclass(frozen=True, slots=True)
class MqttConfig:
    """An MQTT sink. Times in seconds."""

    address: Address
    """The server to be used where it answers."""
    client_id: str
    fallbacks: tuple[Address, ...] = ()
    """Servers for when it does not, the first that answers."""
    home_after_s: float = 600.0
    """With one of these in use, the first is tried again after so long."""
    level: int = 4
    """5: MQTT 5.0, and 3.1.1 where a server knows no other; 4: 3.1.1."""
    username: str | None = None
    password: bytes | None = field(default=None, repr=False)
    topic: str = DEFAULT_TOPIC
    retain: bool = False
    """Publish with retain: who comes later finds the last message of each topic."""
    pace: Pace | None = field(default_factory=Pace)
    """None: nothing overtakes."""
    user_properties: bool = False
    expiry_s: int = 0
    """A server drops what it could not deliver for so long (MQTT 5.0); 0: never."""
    dead_letters: Path | None = None
    """Where a message goes that the server refuses for good; None: it is counted and gone."""
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
    private: tuple[Path, ...] = ()
    """Files that nobody else may read: passwords, our key."""

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All servers, in the order in which they are tried."""
        return (self.address, *self.fallbacks)

    def connect(self, *, clean: bool, will: Will | None = None) -> Connect:
        """A CONNECT packet. Not `clean`: a session, so that a repeat keeps its identifier and says DUP."""
        return Connect(
            self.client_id,
            keep_alive=self.keep_alive_s,
            clean_start=clean,
            will=will,
            username=self.username,
            password=self.password,
            properties=Properties(session_expiry=0 if clean else SESSION_S),
        )

    @classmethod
    def from_table(
        cls,
        table: Table,
        who: str,
        folder: Path = Path(),
        *,
        topic: str | None = DEFAULT_TOPIC,
        topic_fault: Callable[[str], str] = topic_error,
        user_properties: bool = False,
    ) -> MqttConfig:
        """From a table like [[sink]], whose paths are relative to `folder`; ConfigError names the line.

        `who`: what client_id is made of. `topic`: the default; None: there is none to be set.
        """
        username = table.get("username", str)
        password = _password(table, folder, "password")
        if password is not None and username is None:
            raise table.error("password", 'a password needs a username; add a line: username = "..."')
        if topic is not None:
            topic = table.get("topic", str, topic) or ""
            if fault := topic_fault(topic):
                raise table.error("topic", f"'topic' {fault}")
        retain = bool(table.get("retain", bool, False))
        first, *others = _addresses(table, folder)
        return cls(
            address=first,
            fallbacks=tuple(others),
            home_after_s=table.integer("home_after_s", 600, low=1, high=86_400),
            level=LEVELS[table.choice("version", tuple(LEVELS), "5")],
            pace=_pace(table, retain),
            user_properties=bool(table.get("user_properties", bool, user_properties)),
            expiry_s=table.integer("expiry_s", 0, low=0, high=0xFFFF_FFFE),
            client_id=table.get("client_id", str) or f"fieldline-{who}",
            username=username,
            password=password,
            topic=topic or "",
            retain=retain,
            window=table.integer("window", DEFAULT_WINDOW, low=1, high=MAX_WINDOW),
            keep_alive_s=table.integer("keep_alive_s", 60, low=1, high=MAX_FIELD),
            progress_timeout_s=table.integer("progress_timeout_s", 30, low=1, high=3600),
            private=tuple(folder / name for key in _PRIVATE if (name := table.get(key, str)) is not None),
        )


_PRIVATE = ("password_file", "proxy_password_file", "tls_key")


def _pace(table: Table, retain: bool) -> Pace | None:
    """None with retain: what is retained must be the newest, so nothing may overtake."""
    pace = Pace(
        fresh_s=table.integer("fresh_s", 10, low=1, high=MAX_FRESH_S),
        backlog_per_s=table.integer("backlog_per_s", 0, low=0, high=1_000_000),
    )
    return None if retain else pace


def _password(table: Table, folder: Path, key: str) -> bytes | None:
    """From `key`, or from the first line of the file that `key`_file names."""
    password, path = table.get(key, str), table.get(f"{key}_file", str)
    if path is None:
        return None if password is None else password.encode()
    if password is not None:
        raise table.error(f"{key}_file", f"give either {key} or {key}_file, not both")
    try:
        return (folder / path).read_bytes().splitlines()[0]
    except IndexError:
        raise table.error(f"{key}_file", f"{path} is empty; write the password in its first line") from None
    except OSError as error:
        raise table.error(f"{key}_file", f"{path} cannot be read: {error.strerror}") from None


_EXAMPLE = "write for example mqtt://broker.example:1883, or mqtts:// for TLS, or wss://broker.example/mqtt"


def _addresses(table: Table, folder: Path) -> list[Address]:
    """From `url`, or from the list `urls`."""
    if table.has("urls"):
        if table.has("url"):
            raise table.error("urls", "give either url or urls, not both")
        key, urls = "urls", table.strings("urls")
        if not urls:
            raise table.error("urls", f"'urls' is empty; {_EXAMPLE}")
    else:
        key, urls = "url", (table.need("url", str),)
    parts = [_split(table, key, url) for url in urls]
    tls = _tls(table, folder, any(part.scheme in ("mqtts", "wss") for part in parts))
    proxy = _proxy(table, folder)
    return [
        Address(
            part.hostname or "",
            part.port or PORTS[part.scheme],
            tls if part.scheme in ("mqtts", "wss") else None,
            (part.path or "/mqtt") if part.scheme in ("ws", "wss") else None,
            proxy,
        )
        for part in parts
    ]


def _split(table: Table, key: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise table.error(key, f"'{key}' {url!r}: {error}; {_EXAMPLE}") from None
    if parts.scheme not in PORTS or not parts.hostname:
        raise table.error(key, f"'{key}' {url!r} is no MQTT address; {_EXAMPLE}")
    if parts.username is not None:
        raise table.error(
            key, f"'{key}' must not hold a user name; give username and password_file beside it"
        )
    path = "" if parts.scheme in ("ws", "wss") else parts.path
    if path not in ("", "/") or parts.query or parts.fragment:
        raise table.error(key, f"'{key}' {url!r} goes on after the port; {_EXAMPLE}")
    return parts


def _proxy(table: Table, folder: Path) -> Proxy | None:
    """An HTTP proxy on the way to all servers."""
    url = table.get("proxy", str)
    username = table.get("proxy_username", str)
    password = _password(table, folder, "proxy_password")
    if url is None:
        if username is not None or password is not None:
            key = "proxy_username" if username is not None else "proxy_password"
            raise table.error(
                key, f"'{key}' needs proxy; write for example proxy = \"http://proxy.example:3128\""
            )
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme != "http" or not parts.hostname or port is None or parts.username is not None:
        raise table.error(
            "proxy", f"'proxy' {url!r} must be http://HOST:PORT, its name and password beside it"
        )
    return Proxy(parts.hostname, port, username, None if password is None else password.decode())


def _tls(table: Table, folder: Path, wanted: bool) -> ssl.SSLContext | None:
    """A context that checks the broker's certificate against tls_ca, or else the system's CAs."""
    names = (table.get(name, str) for name in ("tls_ca", "tls_cert", "tls_key"))
    ca, cert, key = (None if name is None else folder / name for name in names)
    if not wanted:
        for name, value in (("tls_ca", ca), ("tls_cert", cert), ("tls_key", key)):
            if value is not None:
                raise table.error(name, f"'{name}' needs TLS; write mqtts:// or wss:// in url")
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
