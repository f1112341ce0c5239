"""What the tests against bluetooth-meshd share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wire.mesh.meshd.daemon import build_shim


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def folder() -> Iterator[Path]:
    # A socket's path may have 107 bytes: pytest's own folders are too deep for it.
    with tempfile.TemporaryDirectory(prefix="meshd") as name:
        yield Path(name)
