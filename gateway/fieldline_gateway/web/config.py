"""[page] of the configuration file: where the page is served, and under which terms.

Rules: loopback unless told otherwise; beyond loopback only with TLS. Who calls needs a token everywhere, so there is
no setting that opens the page to everybody.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from fieldline_gateway.mqtt.errors import MqttError
from fieldline_gateway.mqtt.security import is_loopback, server_tls
from fieldline_host.tomlfile import Table

DEFAULT_BIND = "127.0.0.1:8080"

EXAMPLE = """\
# The page and its API: http://127.0.0.1:8080 on this machine; `fieldline gateway token add NAME` lets somebody in.
[page]
bind = "127.0.0.1:8080"
# tls_cert = "page.pem"         # beyond this machine it wants TLS
# tls_key = "page.key"
"""


@dataclass(frozen=True, slots=True)
class PageConfig:
    """Where the page is. Port 0 lets the system choose."""

    host: str
    port: int
    tls: ssl.SSLContext | None


def tokens_path(data: Path) -> Path:
    """Where the tokens are, in the gateway's data folder."""
    return data / "page-tokens.json"


def page(table: Table, folder: Path) -> PageConfig:
    """Read [page]; ConfigError names the line of what is wrong."""
    text = table.get("bind", str, DEFAULT_BIND) or ""
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdecimal() or int(port) > 0xFFFF:
        raise table.error("bind", f"'bind' {text!r} must be HOST:PORT, for example {DEFAULT_BIND}")
    files = {key: table.get(key, str) for key in ("tls_cert", "tls_key")}
    paths = {key: folder / name for key, name in files.items() if name}
    tls = None
    if "tls_key" in paths and "tls_cert" not in paths:
        raise table.error("tls_key", "'tls_key' means TLS: give the page's own certificate too, tls_cert")
    if "tls_cert" in paths:
        try:
            tls = server_tls(paths["tls_cert"], paths.get("tls_key"))
        except MqttError as error:
            raise table.error("tls_cert", str(error)) from None
    if tls is None and not is_loopback(host):
        raise table.error(
            "bind",
            f"the page would be open to the network on {host} without TLS, its tokens readable on the way: "
            "add tls_cert and tls_key, or bind to 127.0.0.1 and come through an SSH tunnel or a proxy with TLS",
        )
    return PageConfig(host, int(port), tls)
