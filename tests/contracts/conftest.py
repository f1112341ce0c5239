"""Which real things the contract suites also run on; without an option, on the emulated ones alone."""

from __future__ import annotations

import pytest

from fieldline_boards.catalog import board_names, load_board
from fieldline_boards.emulated.kinds import emulated_kinds


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fieldline")
    group.addoption("--board-port", help="serial port of a real board with MicroPython")
    group.addoption("--board", default="pico_w", help="its name in boards/catalog (pico_w)")


def pytest_report_header() -> list[str]:
    """Which kinds of emulated boards (SIMULATED) there are for each board of the catalog."""
    kinds = {name: ", ".join(emulated_kinds(load_board(name))) for name in board_names()}
    return ["emulated boards (simulated):", *(f"  {name}: {said}" for name, said in kinds.items())]
