"""Where a server is and what leads there.

Rules: nothing here opens anything. A reference that a server sends (5.0: 4.11) is what a peer says: text that
is no address is none.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that opens a way with CONNECT (RFC 9110, 9.3.6)."""

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"http://{_bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """A server, whether TLS leads there, and whether WebSocket does."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    path: str | None = None
    """MQTT over WebSocket at this path; None is MQTT over TCP."""
    proxy: Proxy | None = None
    unix: Path | None = None
    """A UNIX socket on this machine, in place of host and port."""

    def __str__(self) -> str:
        if self.unix:
            return f"unix:{self.unix}"
        scheme = "mqtt" if self.path is None else "ws"
        return f"{scheme}{'s' if self.tls else ''}://{self.authority}{self.path or ''}"

    @property
    def authority(self) -> str:
        """host:port as URLs and HTTP write it."""
        return f"{_bracketed(self.host)}:{self.port}"


def parse_reference(text: str, like: Address) -> Address | None:
    """The first address of a Server Reference, with the TLS settings, path and proxy of `like`; None for none.

    The standard leaves the form open and gives examples (5.0: 4.11): names or numbers, each with a port or
    without, with spaces between them.
    """
    for word in text.split():
        host, colon, port = word.rpartition(":")
        if not colon or (word.count(":") > 1 and not host.endswith("]")):  # no port: a name, or bare IPv6
            host, port = word, str(like.port)
        host = host.removeprefix("[").removesuffix("]")
        plain = host.replace(":", "").replace(".", "").replace("-", "").replace("_", "")
        if plain.isalnum() and port.isascii() and port.isdecimal() and 0 < int(port[:6]) <= 0xFFFF:
            return replace(like, host=host, port=int(port))
    return None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
