"""Errors of the wire format, split by whose fault it is (wire.md 1.4).

Rules: whatever a peer sends raises PeerError or nothing; a caller that breaks a bound gets UsageError.
"""


class WireError(Exception):
    """Base of all errors of this package."""


class PeerError(WireError):
    """The peer's bytes break the format: drop them, count them, go on."""


class Refused(PeerError):
    """An update, or a part of one, that is not taken. `reason`: a code of update.md 10."""

    def __init__(self, reason: int, why: str) -> None:
        super().__init__(why)
        self.reason = reason


class UsageError(WireError):
    """The calling program asked for something the format cannot say: a fault of ours."""


class FlashError(WireError):
    """The flash did not take what was erased or programmed: use another sector."""
