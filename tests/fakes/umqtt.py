"""Where umqtt.simple is, unmodified: no fake."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "build" / "umqtt"


def find_umqtt() -> Path:
    """The folder with umqtt/simple.py; the test is skipped where it could not be fetched."""
    if not (FOLDER / "umqtt" / "simple.py").is_file():
        pytest.skip(
            "umqtt.simple is not here: scripts/setup test fetches it from pip's index, which was not reached"
        )
    return FOLDER
