"""[alerts], [[alert]] and [[notify]] of the configuration.

Rules: each kind of alert works without a line of its own; [[alert]] changes it. A wrong line is a ConfigError that
says what to write. Secrets stand in files of their own, which nobody else may read.
"""

from __future__ import annotations

import re
import ssl
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from string import Formatter
from urllib.parse import urlsplit

from fieldline_gateway.alerts.model import KINDS, SEVERITIES, Event
from fieldline_gateway.alerts.notify import Mail, Mqtt, Notifier, Webhook
from fieldline_gateway.sinks.mqtt_config import MqttConfig
from fieldline_host.tomlfile import Table

_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_MAIL = re.compile(r"[^\s@<>,;:\"]{1,64}@[A-Za-z0-9.-]{1,255}")
DEFAULT_TOPIC = "fieldline/{gateway}/alerts/{kind}"


@dataclass(frozen=True, slots=True)
class Limits:
    """When alerts are raised and cleared."""

    severities: dict[str, str] = field(default_factory=dict)
    off: frozenset[str] = frozenset()
    silent_after_s: int = 0
    """0: three of the node's own intervals, and at least a minute; [gateway].silent_after_s where it is not known."""
    store_percent: int = 85
    store_clear_percent: int = 78
    behind_records: int = 10_000
    behind_after_s: int = 120
    certificate_days: int = 30
    stall_rpm: int = 0
    """A fan that reads at most this for stall_after_s stands still; below 0: only its node's alarm counts."""
    stall_after_s: int = 30


@dataclass(frozen=True, slots=True)
class Filter:
    """Which alerts a notifier tells."""

    severity: str = "warning"
    kinds: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    """Globs of a node's name or id, a sink's name, ...; empty: all."""

    def wants(self, event: Event) -> bool:
        alert = event.alert
        if alert["kind"] == "test":
            return True
        if SEVERITIES.index(alert["severity"]) < SEVERITIES.index(self.severity):
            return False
        if self.kinds and alert["kind"] not in self.kinds:
            return False
        names = (str(alert["subject"]), str(alert["name"]))
        return not self.subjects or any(fnmatchcase(n, glob) for n in names for glob in self.subjects)


@dataclass(frozen=True, slots=True)
class NotifyConfig:
    """One notifier."""

    name: str
    kind: str
    notifier: Notifier
    filter: Filter
    per_hour: int
    """Messages; what comes faster goes as one digest."""


@dataclass(frozen=True, slots=True)
class AlertConfig:
    """All of it."""

    limits: Limits
    notifiers: tuple[NotifyConfig, ...]
    certificates: tuple[Path, ...]
    """PEM files whose end is watched: those that the gateway itself uses, and those that were named."""


def alerts(root: Table, gateway: str, folder: Path, own: Iterable[Path]) -> AlertConfig:
    """From the file's root table. `own`: certificates that the gateway uses itself."""
    table = root.table("alerts")
    named = [folder / name for name in table.strings("certificates")]
    notifiers: list[NotifyConfig] = []
    for each in root.tables("notify"):
        one = _notifier(each, gateway, folder)
        if any(other.name == one.name for other in notifiers):
            raise each.error(
                "name", f"a notifier 'name' {one.name!r} is there already; give this one another"
            )
        notifiers.append(one)
    return AlertConfig(_limits(root.tables("alert")), tuple(notifiers), tuple(dict.fromkeys([*own, *named])))


def _limits(tables: list[Table]) -> Limits:
    severities: dict[str, str] = {}
    off: set[str] = set()
    values: dict[str, int] = {}
    seen: set[str] = set()
    for table in tables:
        kind = table.choice("kind", tuple(KINDS))
        if kind in seen:
            raise table.error("kind", f"[[alert]] {kind!r} is there already; keep one of them")
        seen.add(kind)
        severities[kind] = table.choice("severity", SEVERITIES, KINDS[kind])
        if not table.get("enabled", bool, True):
            off.add(kind)
        match kind:
            case "node-silent":
                values["silent_after_s"] = table.integer("after_s", 0, low=0, high=604_800)
            case "store-full":
                high = table.integer("raise_percent", 85, low=10, high=99)
                low = table.integer("clear_percent", max(high - 7, 5), low=5, high=98)
                if low >= high:
                    raise table.error(
                        "clear_percent", f"'clear_percent' must be below raise_percent ({high})"
                    )
                values |= {"store_percent": high, "store_clear_percent": low}
            case "sink-behind":
                values["behind_records"] = table.integer("records", 10_000, low=10, high=1_000_000_000)
                values["behind_after_s"] = table.integer("after_s", 120, low=1, high=86_400)
            case "certificate-ending":
                values["certificate_days"] = table.integer("days", 30, low=1, high=3650)
            case "fan-stalled":
                values["stall_rpm"] = table.integer("rpm", 0, low=-1, high=100_000)
                values["stall_after_s"] = table.integer("after_s", 30, low=1, high=86_400)
    return Limits(severities, frozenset(off), **values)


def _notifier(table: Table, gateway: str, folder: Path) -> NotifyConfig:
    kind = table.choice("kind", ("mail", "webhook", "mqtt"))
    name = table.get("name", str, kind) or ""
    if not _NAME.fullmatch(name):
        raise table.error("name", f"'name' {name!r} must be 1 to 32 letters, digits, '_' or '-'")
    kinds = table.strings("kinds")
    for each in kinds:
        if each not in KINDS:
            raise table.error("kinds", f"'kinds' names {each!r}; known: {', '.join(KINDS)}")
    wants = Filter(table.choice("severity", SEVERITIES, "warning"), kinds, table.strings("subjects"))
    notifier: Notifier
    match kind:
        case "mail":
            notifier = _mail(table, folder)
        case "webhook":
            notifier = _webhook(table, folder)
        case _:
            topic = table.get("topic", str, DEFAULT_TOPIC) or ""
            notifier = Mqtt(MqttConfig.from_table(table, f"{gateway}-{name}", folder, topic=None), topic)
            _check_topic(table, topic)
    return NotifyConfig(name, kind, notifier, wants, table.integer("per_hour", 12, low=1, high=3600))


def _mail(table: Table, folder: Path) -> Mail:
    security = table.choice("security", ("starttls", "tls", "none"), "starttls")
    host = table.need("host", str)
    insecure = bool(table.get("insecure", bool, False))
    if security == "none" and not (insecure or _here(host)):
        raise table.error(
            "security", f"'security' none sends alerts to {host} in the clear; or say insecure = true"
        )
    port = table.integer("port", {"tls": 465, "starttls": 587, "none": 25}[security], low=1, high=65535)
    sender, to = table.need("from", str), table.strings("to")
    for key, addresses in (("from", (sender,)), ("to", to)):
        for address in addresses:
            if not _MAIL.fullmatch(address):
                raise table.error(
                    key, f"'{key}' {address!r} is no mail address; write for example ops@example.com"
                )
    if not to:
        raise table.error("to", "'to' is missing; add a line: to = [\"ops@example.com\"]")
    username = table.get("username", str)
    password = _secret(table, folder, "password_file")
    return Mail(
        host,
        port,
        sender,
        to,
        security,
        username,
        password.decode() if password else None,
        _ca(table, folder),
    )


def _webhook(table: Table, folder: Path) -> Webhook:
    url = table.need("url", str)
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise table.error(
            "url", f"'url': {error}; write for example https://hooks.example/fieldline"
        ) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise table.error("url", "'url' must be https://HOST/PATH, without a user name")
    insecure = bool(table.get("insecure", bool, False))
    if parts.scheme == "http" and not (insecure or _here(parts.hostname)):
        raise table.error(
            "url", f"'url' sends alerts to {parts.hostname} in the clear; write https://, or insecure = true"
        )
    token = _secret(table, folder, "token_file")
    headers = (("Authorization", f"Bearer {token.decode()}"),) if token else ()
    return Webhook(url, _secret(table, folder, "secret_file"), headers, _ca(table, folder))


def _ca(table: Table, folder: Path) -> ssl.SSLContext | None:
    name = table.get("tls_ca", str)
    if name is None:
        return None
    try:
        return ssl.create_default_context(cafile=folder / name)
    except (OSError, ssl.SSLError) as error:
        raise table.error("tls_ca", f"'tls_ca' {name}: {error.strerror or error}; give a PEM file") from None


def _secret(table: Table, folder: Path, key: str) -> bytes | None:
    """The first line of a file that only its owner reads."""
    name = table.get(key, str)
    if name is None:
        return None
    path = folder / name
    try:
        text = path.read_bytes().split(b"\n")[0].strip()
        mode = path.stat().st_mode
    except OSError as error:
        raise table.error(key, f"'{key}' {path}: {error.strerror}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise table.error(key, f"'{key}' {path} can be read by others: run chmod 600 {path}")
    if not text or not text.isascii():
        raise table.error(key, f"'{key}' {path}: its first line must be the secret, in ASCII")
    return text


def _check_topic(table: Table, topic: str) -> None:
    try:
        names = {name for _, name, _, _ in Formatter().parse(topic) if name is not None}
    except ValueError as error:
        raise table.error("topic", f"'topic' {error}; write for example {DEFAULT_TOPIC}") from None
    if names - {"gateway", "kind"} or not topic or any(mark in topic for mark in "+#\0"):
        raise table.error(
            "topic", f"'topic' may hold {{gateway}} and {{kind}}, and no '+' or '#': {DEFAULT_TOPIC}"
        )


def _here(host: str) -> bool:
    return host in ("localhost", "127.0.0.1", "::1")
