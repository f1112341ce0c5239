"""Which real things the contract suites also run on; without an option, on the emulated ones alone."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fieldline")
    group.addoption("--board-port", help="serial port of a real board with MicroPython")
    group.addoption("--board", default="pico_w", help="its name in boards/catalog (pico_w)")
