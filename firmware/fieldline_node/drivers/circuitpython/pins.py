"""The board's pins by the numbers of its TOML.

Rules: a number becomes a name of the module board; which, the build says (PIN_NAMES).
"""

import board
import fieldline_board  # pyright: ignore[reportMissingImports] - made by the build
from microcontroller import Pin


def find_pin(pin: "int | str") -> Pin:
    """The pin of a GPIO number, or of a name that is the board's own ("LED"). AttributeError where it has none."""
    return getattr(board, pin if isinstance(pin, str) else fieldline_board.PIN_NAMES % pin)
