"""A repository for the gateway's side of updates."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.ota.releases import Repo


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """Root 1 is in force, and nothing released."""
    made = Repo(tmp_path / "repo", datetime.now(UTC))
    made.root("ann", "ben", "cay")
    return made
