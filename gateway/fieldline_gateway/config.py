"""The gateway's configuration file: everything that can be set, with its default and its bounds.

Rules: read once at the start and never again; a wrong line is a ConfigError that names it; what is not in the
file has a default with which a first start works. Paths in the file are relative to the file.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from fieldline_gateway.alerts.config import AlertConfig, alerts
from fieldline_gateway.ingest.limits import LimitRules
from fieldline_gateway.links.serial import SerialSettings
from fieldline_gateway.mesh.config import EXAMPLE as MESH_EXAMPLE
from fieldline_gateway.mesh.config import MeshConfig, mesh
from fieldline_gateway.mqtt.errors import MqttError
from fieldline_gateway.mqtt.security import Passwords, Security, is_loopback, server_tls
from fieldline_gateway.sinks.config import SinkConfig, sinks
from fieldline_gateway.store.log import GroupRules
from fieldline_gateway.store.retention import RetentionRules
from fieldline_gateway.store.store import StoreSettings
from fieldline_gateway.updates.config import EXAMPLE as UPDATES_EXAMPLE
from fieldline_gateway.updates.config import UpdatesConfig, updates
from fieldline_gateway.web.config import EXAMPLE as PAGE_EXAMPLE
from fieldline_gateway.web.config import PageConfig, page
from fieldline_host.tomlfile import ConfigError, Table, TomlFile

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")  # it stands in topics
_HOUR_MS = 3600 * 1000
_DAY_MS = 24 * _HOUR_MS
_MIB = 1024 * 1024

EXAMPLE = """\
# A Fieldline gateway. `fieldline gateway check -c FILE` says what this file would do.
[gateway]
name = "site-1"                 # stands in topics
data = "{data}"                   # store, registry, control socket; relative to this file
log = "text"                    # or "json"
log_level = "info"
silent_after_s = 750            # a node that says nothing for so long is told of as away

[serial]
ports = ["/dev/ttyACM*", "/dev/ttyUSB*"]
baud = 115200

%MESH%

[store]
max_mib = 1024                  # beyond it whole segments go: bulk first, alarms last, each loss reported
max_age_days = 0                # 0: no bound
keep_hours = 24                 # what all sinks have stays so long for plots, in up to half of max_mib

[limits]                        # of one node; what is over is not lost, it waits on the node
messages_per_s = 100            # 0: no limit
burst = 1000
alarms_per_s = 5                # alarms that go past a limit that is reached
alarm_burst = 50

# With no [[sink]] the gateway's own small listener serves subscribers on this machine.
[listener]
bind = "127.0.0.1:1883"
websocket = true                # on the same port
# nodes = true                  # nodes with Wi-Fi come in through it (docs/wifi.md)
# tls_cert = "listener.pem"     # beyond this machine it wants TLS, and passwords or client certificates
# tls_key = "listener.key"
# client_ca = "clients.pem"     # who signs the clients' certificates
# client_certificates = "required"   # or "optional": without one a password is asked
# password_file = "listener.passwords"   # lines made by `fieldline gateway password NAME`
# insecure = false              # true: open to the network without these
# readers = ["panel"]           # names of password_file or of certificates that may look at twins (docs/fleet.md)
# operators = ["scada"]         # and that may set them; who gives a token as the password needs no line here

%PAGE%
%UPDATES%
# Each [[sink]] has a place of its own in the store; docs/payloads.md shows what each kind publishes.
# [[sink]]
# kind = "json"                   # docs/payload-json.md
# name = "json"                   # names its place in the store: a new name begins at the oldest reading
# url = "mqtts://broker.example:8883"   # or urls = ["...", "..."]: the first that answers; ws:// and wss:// too
# username = "site-1"
# password_file = "mqtt.password"
# version = "5"                   # or "3.1.1"; a broker that knows no MQTT 5.0 is spoken to in 3.1.1
# topic = "fieldline/{gateway}/{node}/{cls}"
# window = 1000                   # messages in flight
# fresh_s = 10                    # what waited longer is backlog: it comes beside what is new, as historical
# backlog_per_s = 0               # readings of backlog a second; 0: as fast as the broker takes them
# retain = false                  # true: the broker keeps the newest, so nothing overtakes
# user_properties = false         # MQTT 5.0: say gateway, node, class, stream, number, historical beside the payload
# expiry_s = 0                    # MQTT 5.0: the broker drops what it could not deliver for so long; 0: never
# homeassistant = false           # true: Home Assistant finds the sensors by itself

# [[sink]]
# kind = "fan"                    # {"TIME", "FANID", "FREQ", "RPM"}, one a second
# url = "mqtt://broker.example"
# topic = "fieldline/{gateway}/fans"
# fan_id = "{name}-{sensor}"
# pulses_per_turn = 2

# [[sink]]
# kind = "template"
# url = "mqtt://broker.example"
# topic = "plant/{name}/{quantity}"
# payload = '{"v":{value},"u":"{unit}","t":"{time}","n":{number}}'
# gap_payload = '{"missing":[{first},{last}],"why":"{reason}"}'

# [[sink]]
# kind = "sparkplug"              # Sparkplug B edge node; docs/sparkplug.md
# url = "mqtt://broker.example"
# group = "Fieldline"
# edge = "site-1"
# primary_host = "scada"          # without this line nobody is waited for

# [alerts]
# certificates = ["broker.pem"]   # watched beside those that the gateway uses itself

# Alerts are there without these lines; docs/alerts.md lists the kinds and what each can be told.
# [[alert]]
# kind = "node-silent"
# severity = "critical"           # info, warning or critical
# after_s = 900

# [[notify]]
# kind = "mail"                   # or "webhook", "mqtt"
# host = "mail.example"
# from = "gateway@example.com"
# to = ["ops@example.com"]
# username = "gateway"
# password_file = "mail.password"
# severity = "warning"            # this and worse
# per_hour = 12                   # beyond it they go as one digest
"""
_PARTS = {"%MESH%": MESH_EXAMPLE, "%PAGE%": PAGE_EXAMPLE, "%UPDATES%": UPDATES_EXAMPLE}

_MIGRATE = """[mqtt] is now a sink of its own; write in its place
[[sink]]
kind = "json"
name = "mqtt"
and leave the lines below it as they are"""


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """Where the listener listens, and for whom. Port 0 lets the system choose."""

    host: str
    port: int
    security: Security
    websocket: bool
    nodes: bool
    """Nodes with Wi-Fi come in through it (links/mqtt.py)."""
    readers: tuple[str, ...] = ()
    """Names of the password file or of certificates that may ask for operations which only look."""
    operators: tuple[str, ...] = ()
    """The same for all operations that are offered over MQTT."""
    private: tuple[Path, ...] = ()
    """Files that nobody else may read."""

    @property
    def private_way(self) -> bool:
        """Whether nobody else reads what a client says."""
        return self.security.tls is not None or is_loopback(self.host)


@dataclass(frozen=True, slots=True)
class Config:
    """A gateway, as its file says."""

    path: Path
    name: str
    data: Path
    log_form: str
    log_level: str
    serial: SerialSettings
    bluetooth: MeshConfig | None
    """The ways into the mesh; None: there is none."""
    store: StoreSettings
    limits: LimitRules
    alerts: AlertConfig
    silent_ms: int
    """A node of which nothing is heard for so long is away."""
    sinks: tuple[SinkConfig, ...]
    """Where readings go; with none the listener alone serves."""
    listener: ListenerConfig | None
    page: PageConfig | None
    """None: there is no page."""
    updates: UpdatesConfig = field(default_factory=UpdatesConfig)

    @property
    def listener_door(self) -> Path:
        """Where the gateway itself gives readings to its listener, whatever that asks of others."""
        return self.data / "listener.sock"

    @property
    def private(self) -> list[Path]:
        """Files that nobody but the gateway's user may read; this file itself where a password stands in it."""
        found = [path for sink in self.sinks for path in sink.mqtt.private]
        found += self.listener.private if self.listener else ()
        inline = any(
            sink.mqtt.password is not None and not any("password" in path.name for path in sink.mqtt.private)
            for sink in self.sinks
        )
        return [self.path, *found] if inline else found

    @property
    def mesh(self) -> Path:
        """Where the mesh's keys and our node's records are."""
        return self.data / "mesh"

    @property
    def control_socket(self) -> Path:
        """Where `fieldline gateway status` asks."""
        return self.data / "control.sock"


def example(data: str) -> str:
    """A file to begin with; `data` is where readings are stored."""
    text = EXAMPLE.replace("{data}", data)
    for mark, part in _PARTS.items():
        text = text.replace(mark, part, 1)
    return text


def load(path: Path) -> Config:
    """Read a configuration file; ConfigError names the line of what is wrong."""
    file = TomlFile.load(path)
    root = file.root
    gateway = root.table("gateway")
    name = gateway.get("name", str, "gateway") or ""
    if not _NAME.fullmatch(name):
        raise gateway.error("name", f"'name' {name!r} must be 1 to 64 letters, digits, '.', '_' or '-'")
    folder = path.resolve().parent
    if root.has("mqtt"):
        raise root.error("mqtt", _MIGRATE)
    data = folder / (gateway.get("data", str, "data") or "data")
    bluetooth = mesh(root.table("mesh"), folder) if root.has("mesh") else None
    config = Config(
        path=path,
        name=name,
        data=data,
        log_form=gateway.choice("log", ("text", "json"), "text"),
        log_level=gateway.choice("log_level", ("debug", "info", "warning", "error"), "info"),
        serial=_serial(root.table("serial"), folder, bluetooth.bridges if bluetooth else ()),
        bluetooth=bluetooth,
        store=_store(root.table("store")),
        limits=_limits(root.table("limits")),
        silent_ms=gateway.integer("silent_after_s", 750, low=10, high=86_400) * 1000,
        sinks=sinks(root.tables("sink"), name, folder, data),
        listener=_listener(root.table("listener"), folder)
        if root.has("listener") or not root.has("sink")
        else None,
        page=page(root.table("page"), folder) if root.has("page") else None,
        updates=updates(root.table("updates"), folder) if root.has("updates") else UpdatesConfig(),
        # Last: it asks which certificates all the others named.
        alerts=alerts(root, name, folder, _certificates(file, folder)),
    )
    file.finish()
    if not config.serial.ports and not config.bluetooth and not (config.listener and config.listener.nodes):
        raise ConfigError(
            path,
            None,
            'no links: add [serial] with ports = ["/dev/ttyACM*"], [listener] with nodes = true, or [mesh]',
        )
    return config


def _serial(table: Table, folder: Path, without: tuple[str, ...]) -> SerialSettings:
    ports = tuple(str(folder / port) for port in table.strings("ports"))
    baud = table.integer("baud", 115_200, low=300, high=4_000_000)
    return SerialSettings(ports, baud=baud, without=without)


def _store(table: Table) -> StoreSettings:
    segment_mib = table.integer("segment_mib", 16, low=1, high=1024)
    if table.integer("max_mib", 1024, low=64, high=16 * _MIB) < 4 * segment_mib:
        raise table.error("segment_mib", f"'max_mib' must be at least four times segment_mib ({segment_mib})")
    return StoreSettings(
        segment_bytes=segment_mib * _MIB,
        group=GroupRules(
            interval_ms=table.integer("group_ms", 2, low=0, high=1000),
            records=table.integer("group_records", 1000, low=1, high=100_000),
        ),
        retention=RetentionRules(
            max_bytes=table.integer("max_mib", 1024, low=64, high=16 * _MIB) * _MIB,
            max_age_ms=table.integer("max_age_days", 0, low=0, high=36_500) * _DAY_MS,
            keep_ms=table.integer("keep_hours", 24, low=0, high=24 * 36_500) * _HOUR_MS,
        ),
    )


def _certificates(file: TomlFile, folder: Path) -> list[Path]:
    """PEM files that the gateway uses, as the file names them."""
    found = file.texts(("tls_cert", "tls_ca", "client_ca"))
    return [folder / name for name in found]


def _limits(table: Table) -> LimitRules:
    return LimitRules(
        messages_per_s=table.integer("messages_per_s", 100, low=0, high=100_000),
        burst=table.integer("burst", 1000, low=10, high=1_000_000),
        alarms_per_s=table.integer("alarms_per_s", 5, low=1, high=1000),
        alarm_burst=table.integer("alarm_burst", 50, low=1, high=10_000),
    )


def _listener(table: Table, folder: Path) -> ListenerConfig:
    text = table.get("bind", str, "127.0.0.1:1883") or ""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 0xFFFF:
        raise table.error("bind", f"'bind' {text!r} must be HOST:PORT, for example 127.0.0.1:1883")
    found = ListenerConfig(
        host=host.strip("[]"),
        port=int(port),
        security=_security(table, folder),
        websocket=bool(table.get("websocket", bool, True)),
        nodes=bool(table.get("nodes", bool, False)),
        readers=tuple(table.strings("readers")),
        operators=tuple(table.strings("operators")),
        private=tuple(folder / name for key in _PRIVATE if (name := table.get(key, str)) is not None),
    )
    try:
        found.security.check_bind(found.host)
    except MqttError as error:
        raise table.error("bind", str(error)) from None
    _check_roles(table, found)
    return found


def _check_roles(table: Table, found: ListenerConfig) -> None:
    """That a name which may ask for operations is proved, and by nothing that others can read on the way."""
    security = found.security
    certificates = security.tls is not None and security.tls.verify_mode != ssl.CERT_NONE
    known = security.passwords.names if security.passwords else frozenset()
    for key, names in (("readers", found.readers), ("operators", found.operators)):
        for name in names:
            if not certificates and name not in known:
                raise table.error(
                    key,
                    f"{key!r} names {name!r}, whom nobody can prove to be: "
                    "add a line for it to password_file, or ask for certificates with client_ca",
                )
        if names and not found.private_way:
            raise table.error(
                key,
                f"{key!r} beyond this machine wants TLS, for passwords could be read on the way: add tls_cert",
            )
    if both := set(found.readers) & set(found.operators):
        raise table.error("readers", f"{min(both)!r} is among 'operators' too: name it once")


_PRIVATE = ("tls_key", "password_file")


def _security(table: Table, folder: Path) -> Security:
    files = {key: table.get(key, str) for key in ("tls_cert", "tls_key", "client_ca", "password_file")}
    paths = {key: folder / name for key, name in files.items() if name}
    certificates = table.choice("client_certificates", ("required", "optional"), "required")
    for key in ("tls_key", "client_ca"):
        if key in paths and "tls_cert" not in paths:
            raise table.error(key, f"'{key}' means TLS: give the listener's own certificate too, tls_cert")
    key = "tls_cert"
    try:
        tls = None
        if "tls_cert" in paths:
            tls = server_tls(paths["tls_cert"], paths.get("tls_key"), paths.get("client_ca"), certificates)
        key = "password_file"
        passwords = Passwords.load(paths["password_file"]) if "password_file" in paths else None
    except MqttError as error:
        raise table.error(key, str(error)) from None
    return Security(tls, passwords, insecure=bool(table.get("insecure", bool, False)))
