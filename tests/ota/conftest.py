"""Puts what also runs on the MicroPython VM on sys.path, as there; keys and releases, made once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

sys.path[:0] = [str(TESTS), str(TESTS / "ota")]


@pytest.fixture(scope="session")
def material_json() -> str:
    """What update_cases.site.Material reads."""
    from tests.ota.attacks import material_text

    return material_text()
