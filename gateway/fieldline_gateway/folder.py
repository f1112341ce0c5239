"""The data folder: what lies where in it, and that one gateway has it at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fieldline_gateway.config import Config
from fieldline_gateway.errors import FolderTaken, UsageError


def registry_path(config: Config) -> Path:
    """Where the registry's file is."""
    return config.data / "registry.db"


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the data folder for this process. FolderTaken where another has it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(
            f"{folder}: {error.strerror}; give the gateway a folder that it may write"
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise FolderTaken(
            f"another gateway runs with {folder}: stop it, or use another data folder"
        ) from None
    try:
        yield
    finally:
        os.close(fd)
