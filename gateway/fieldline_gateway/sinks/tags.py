"""What MQTT 5.0 says of a message beside its payload: user properties and expiry (docs/payloads.md 5).

Rules: bytes that do not change are made once for each (node, class, stream, way); a reading costs its number.
"""

from __future__ import annotations

from functools import lru_cache

from fieldline_gateway.mqtt.codec import properties
from fieldline_gateway.records import CLASS_NAMES


class Tags:
    """Makes properties, as window.Message has them. Nothing of it reaches a server of 3.1.1."""

    def __init__(self, gateway: str, user: bool = False, expiry_s: int = 0) -> None:
        """`user`: say gateway, node, class, stream, number, historical; `expiry_s`: 0 is never."""
        self._gateway = gateway
        self._user = user
        self._expiry = properties.encode_message(message_expiry=expiry_s) if expiry_s else b""
        self.of = lru_cache(maxsize=4096)(self._of)  # a site's nodes and their classes

    def _of(self, node: bytes, cls: int, stream: int, historical: bool) -> bytes:
        """What all messages of a record have."""
        if not self._user:
            return self._expiry
        pairs = (
            ("gateway", self._gateway),
            ("node", node.hex()),
            ("class", CLASS_NAMES[cls]),
            ("stream", str(stream)),
            ("historical", "true" if historical else "false"),
        )
        return self._expiry + properties.encode_user(pairs)

    def number(self, of: bytes, number: int) -> bytes:
        """The same with the number of a reading."""
        if not self._user:
            return of
        text = b"%d" % number
        return b"%b\x26\x00\x06number\x00%c%b" % (of, len(text), text)
