"""All errors of the gateway, split by whose fault it is.

Rules: one base. Foreign errors (OSError, sqlite3.Error) are wrapped once, at the port where they come in.
What a peer sends is no GatewayError: it is fieldline_wire's PeerError, counted by ingest.
"""

from __future__ import annotations


class GatewayError(Exception):
    """Base; the text says what was wrong, where, and what to do next."""


class UsageError(GatewayError):
    """The person or the program that called is at fault: a wrong file, a wrong argument, a second gateway."""


class ForbiddenError(GatewayError):
    """Who asks is known and may not do this."""


class FolderTaken(UsageError):
    """A gateway runs with this data folder."""


class StoreError(GatewayError):
    """The disk or the operating system is at fault."""

    def __init__(self, message: str, reason: str = "failed") -> None:
        super().__init__(message)
        self.reason = reason
        """One word for status and counters: full, read-only, io, failed."""


class StoreHeld(StoreError):
    """The store takes nothing at the moment; nothing was appended, ask the node to wait."""


class RegistryError(GatewayError):
    """The registry's file cannot be used."""
