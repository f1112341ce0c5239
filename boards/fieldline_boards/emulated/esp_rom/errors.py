"""Errors inside the emulated ESP32 ROM loader.

Rules: none of these leaves the package. PeerError and FlashError become answers on the wire or counters,
PowerCut switches the chip off. What the caller does wrong is a BoardError.
"""

from __future__ import annotations


class EspRomError(Exception):
    """Base of the errors of this package."""


class PeerError(EspRomError):
    """The bytes that came over the serial line are wrong."""


class FlashError(EspRomError):
    """An operation outside the flash chip."""


class PowerCut(EspRomError):
    """The power failed in the middle of a flash or eFuse operation."""
