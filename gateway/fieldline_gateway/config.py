"""The gateway's configuration file: everything that can be set, with its default and its bounds.

Rules: read once at the start and never again; a wrong line is a ConfigError that names it; what is not in the
file has a default with which a first start works. Paths in the file are relative to the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fieldline_gateway.links.serial import SerialSettings
from fieldline_gateway.sinks.mqtt_config import MqttConfig
from fieldline_gateway.store.log import GroupRules
from fieldline_gateway.store.retention import RetentionRules
from fieldline_gateway.store.store import StoreSettings
from fieldline_host.tomlfile import ConfigError, Table, TomlFile

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")  # it stands in topics
_DAY_MS = 24 * 3600 * 1000
_MIB = 1024 * 1024

EXAMPLE = """\
# A Fieldline gateway. `fieldline gateway check -c FILE` says what this file would do.
[gateway]
name = "site-1"                 # stands in topics
data = "data"                   # store, registry, control socket; relative to this file
log = "text"                    # or "json"
log_level = "info"

[serial]
ports = ["/dev/ttyACM*", "/dev/ttyUSB*"]
baud = 115200

[store]
max_mib = 1024                  # beyond it whole segments go: bulk first, alarms last, each loss reported
max_age_days = 0                # 0: no bound

# With no [mqtt] the gateway's own small listener serves subscribers on this machine.
[listener]
bind = "127.0.0.1:1883"

# [mqtt]
# url = "mqtts://broker.example:8883"
# username = "site-1"
# password_file = "mqtt.password"
"""


@dataclass(frozen=True, slots=True)
class Bind:
    """Where the listener listens. Port 0 lets the system choose."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Config:
    """A gateway, as its file says."""

    path: Path
    name: str
    data: Path
    log_form: str
    log_level: str
    serial: SerialSettings
    store: StoreSettings
    mqtt: MqttConfig | None
    """The site's broker, or None: then the listener alone serves."""
    listener: Bind | None

    @property
    def control_socket(self) -> Path:
        """Where `fieldline gateway status` asks."""
        return self.data / "control.sock"


def load(path: Path) -> Config:
    """Read a configuration file; ConfigError names the line of what is wrong."""
    file = TomlFile.load(path)
    root = file.root
    gateway = root.table("gateway")
    name = gateway.get("name", str, "gateway") or ""
    if not _NAME.fullmatch(name):
        raise gateway.error("name", f"'name' {name!r} must be 1 to 64 letters, digits, '.', '_' or '-'")
    folder = path.resolve().parent
    config = Config(
        path=path,
        name=name,
        data=folder / (gateway.get("data", str, "data") or "data"),
        log_form=gateway.choice("log", ("text", "json"), "text"),
        log_level=gateway.choice("log_level", ("debug", "info", "warning", "error"), "info"),
        serial=_serial(root.table("serial"), folder),
        store=_store(root.table("store")),
        mqtt=MqttConfig.from_table(root.table("mqtt"), name, folder) if root.has("mqtt") else None,
        listener=_bind(root.table("listener")) if root.has("listener") or not root.has("mqtt") else None,
    )
    file.finish()
    if not config.serial.ports:
        raise ConfigError(path, None, 'no links: add [serial] with ports = ["/dev/ttyACM*"]')
    return config


def _serial(table: Table, folder: Path) -> SerialSettings:
    ports = tuple(str(folder / port) for port in table.strings("ports"))
    return SerialSettings(ports, baud=table.integer("baud", 115_200, low=300, high=4_000_000))


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
        ),
    )


def _bind(table: Table) -> Bind:
    text = table.get("bind", str, "127.0.0.1:1883") or ""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 0xFFFF:
        raise table.error("bind", f"'bind' {text!r} must be HOST:PORT, for example 127.0.0.1:1883")
    return Bind(host.strip("[]"), int(port))
