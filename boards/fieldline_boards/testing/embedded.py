"""pytest-embedded's `dut` on our boards: loaded where that package is installed and `--board` is given.

Rules: its public fixtures alone: `dut` and `msg_queue`. Its services stay its own: with `--embedded-services` nothing
is changed. What the board says goes into its queue, what a test writes to the dut goes to the board.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fieldline_boards.testing.console import Console


@pytest.fixture
def dut(board_console: Console, dut: Any, msg_queue: Any) -> Iterator[Any]:
    """pytest-embedded's device under test, at the board's console."""
    leave = board_console.listen(msg_queue.put)
    dut.write = board_console.write
    yield dut
    leave()
