"""Puts what also runs on the MicroPython VM on sys.path, as there; keys and releases, made once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.once import once

TESTS = Path(__file__).parents[1]

sys.path[:0] = [str(TESTS), str(TESTS / "ota")]


@pytest.fixture(scope="session")
def material_json(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> str:
    """What update_cases.site.Material reads."""
    from tests.ota.attacks import material_text

    return once(tmp_path_factory, pytestconfig, "material", lambda folder: material_text())
