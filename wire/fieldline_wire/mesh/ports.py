"""What the mesh asks of its surroundings, as types for the checkers.

Rules: nothing runs here and no module imports this one when it runs, so it is never built for a node.
"""

from typing import Protocol


class Store(Protocol):
    """Durable records by number. `save` returns when the record is safe, whole or not at all; it raises the
    surroundings' own storage error, which goes through to the caller: what could not be stored is not sent."""

    def load(self, record: int) -> bytes | None:
        """The record, None where there is none."""

    def save(self, record: int, data: bytes) -> int | None:
        """Replaces the record. For settings.RECORD it may give a status of 4.3.5 in place of raising: nothing is
        stored, and load() still gives the record of before, to which the node goes back."""


class KeyPair(Protocol):
    """A P-256 key pair for one provisioning (5.4.2.3)."""

    public: bytes  # X and Y, 32 bytes each, big-endian

    def secret(self, peer: bytes) -> bytes:
        """ECDH: the X coordinate, 32 bytes. PeerError where `peer` is no point of the curve."""
