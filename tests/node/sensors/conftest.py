"""Puts what also runs on the MicroPython VM (tests/fakes, sensor_cases) on sys.path, as there."""

import sys
from pathlib import Path

HERE = Path(__file__).parent

sys.path[:0] = [str(HERE), str(HERE.parents[1])]
