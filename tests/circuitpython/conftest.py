"""Puts the fake CircuitPython modules on sys.path, behind all else, and what the cases share with tests/node."""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]

sys.path[:0] = [str(TESTS), str(TESTS / "node"), str(TESTS / "circuitpython")]
sys.path.append(str(TESTS / "fakes" / "circuitpython"))
