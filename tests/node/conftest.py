"""Puts what also runs on the MicroPython VM (tests/fakes, tests/node/node_cases) on sys.path, as there."""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]

sys.path[:0] = [str(TESTS), str(TESTS / "node")]
