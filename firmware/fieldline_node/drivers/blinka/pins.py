"""The computer's pins by the names of Blinka's module board.

Rules: a number becomes a name; which, the board's TOML says (PIN_NAMES).
"""

import board
import fieldline_board  # pyright: ignore[reportMissingImports] - made by `fieldline pins run`


def find_pin(pin: "int | str"):
    """The pin of a GPIO number, or of a name of Blinka's own. AttributeError where the board has none."""
    return getattr(board, pin if isinstance(pin, str) else fieldline_board.PIN_NAMES % pin)
