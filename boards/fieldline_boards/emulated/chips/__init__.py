"""Emulated sensor chips at the level of their registers, and the rig that wires them to an emulated board.

Rules: a chip is written from its datasheet, not from our driver: reset values, busy times, what is read-only and
what it does not acknowledge. What it measures is set from outside, in the units of physics. It knows time only
by the clock it was given. Everything here is simulated.
"""

from fieldline_boards.emulated.chips.rig import Rig

__all__ = ["Rig"]
