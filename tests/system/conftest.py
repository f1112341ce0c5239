"""Puts what also runs on the MicroPython VM on sys.path, as there: whole nodes run in this process, too."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]

sys.path[:0] = [str(TESTS), str(TESTS / "node"), str(TESTS / "ota")]
