"""The table [mesh] of a gateway's configuration: by which ways it reaches its mesh, and how often it looks.

Rules: at least one way; whatever cannot work is a ConfigError that names the line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fieldline_host.tomlfile import Table

# An address, or on macOS, which hides these, a UUID.
_PROXY = re.compile(r"([0-9A-F]{2}:){5}[0-9A-F]{2}|[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}")

EXAMPLE = """\
# [mesh]                          # Bluetooth Mesh: `fieldline mesh new` makes one (docs/mesh.md)
# bridges = ["/dev/ttyACM0"]        # boards with the bridge firmware: serial line to adverts and back
# proxies = ["AA:BB:CC:DD:EE:FF"]   # nodes with GATT proxy in reach of this machine's Bluetooth
# heartbeat_s = 64                # how often a node says that it is there, a power of two; all else follows
# relays = "auto"                 # the gateway chooses which nodes relay; "keep": `fieldline mesh relay` alone
"""
_LONGEST_LOG = 0x11
"""Mesh Profile 1.0.1, 4.2.17.3: 2^16 s."""


@dataclass(frozen=True, slots=True)
class MeshConfig:
    """The ways into the mesh. `bridges`: paths or patterns of serial ports; `proxies`: Bluetooth addresses."""

    proxies: tuple[str, ...] = ()
    bridges: tuple[str, ...] = ()
    baud: int = 115_200
    heartbeat_s: int = 64
    choose_relays: bool = True

    @property
    def heartbeat_log(self) -> int:
        """As configuration messages have it: 2^(n-1) s."""
        return self.heartbeat_s.bit_length()


def mesh(table: Table, folder: Path) -> MeshConfig:
    """What the table says; ConfigError."""
    found = MeshConfig(
        proxies=_proxies(table),
        bridges=tuple(str(folder / path) for path in table.strings("bridges")),
        baud=table.integer("baud", 115_200, low=300, high=4_000_000),
        heartbeat_s=table.integer("heartbeat_s", 64, low=1, high=1 << _LONGEST_LOG - 1),
        choose_relays=table.choice("relays", ("auto", "keep"), "auto") == "auto",
    )
    if found.heartbeat_s & found.heartbeat_s - 1:
        raise table.error(
            "heartbeat_s", f"'heartbeat_s' {found.heartbeat_s} must be a power of two, as 32 or 64"
        )
    if not found.proxies and not found.bridges:
        raise table.error(
            "proxies" if table.has("proxies") else None,
            "the mesh needs a way in: 'bridges' or 'proxies', each named once",
        )
    if len(set(found.bridges)) != len(found.bridges):
        raise table.error("bridges", "'bridges' must name each serial port once")
    return found


def _proxies(table: Table) -> tuple[str, ...]:
    found = tuple(proxy.upper() for proxy in table.strings("proxies"))
    for proxy in found:
        if not _PROXY.fullmatch(proxy):
            raise table.error("proxies", f"{proxy!r} is no Bluetooth address such as AA:BB:CC:DD:EE:FF")
    if len(set(found)) != len(found):
        raise table.error("proxies", "'proxies' must name the mesh's GATT proxies, each once")
    return found
