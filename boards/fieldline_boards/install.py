"""Put a build on a board.

Rules: a file whose digest is right stays, so an install that was broken off goes on where it stopped; main.py comes
last, so that no half firmware starts. What an older build left in the packages' folders is removed: a forgotten .py
would be imported before the new .mpy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fieldline_boards.boardfiles import BoardFiles

IDENTITY = "identity.bin"
_LAST = ("boot.py", "main.py")


@dataclass(frozen=True, slots=True)
class Step:
    """Progress: `path` is at `done` of `size` bytes."""

    path: str
    done: int
    size: int


@dataclass(frozen=True, slots=True)
class Installed:
    """How many files were sent, were there already, and were removed."""

    sent: int
    kept: int
    removed: int


def install(
    port: str,
    build_dir: Path,
    identity: bytes | None,
    progress: Callable[[Step], None] = lambda step: None,
    say: Callable[[str], None] = lambda line: None,
) -> Installed:
    """Put the files in `build_dir`, and `identity` where given, on the board at `port`, and restart it."""
    files = {path.relative_to(build_dir).as_posix(): path.read_bytes() for path in _files(build_dir)}
    if identity is not None:
        files[IDENTITY] = identity
    order = sorted(files, key=lambda path: (_LAST.index(path) if path in _LAST else -1, path))
    sent = removed = 0
    with BoardFiles(port) as board:
        for path in _stale(board, files):
            board.remove(path)
            removed += 1
        there = board.digests(order)
        for folder in sorted({parent for path in files for parent in _parents(path)}):
            board.make_folder(folder)
        for path in order:
            content = files[path]
            if there.get(path) != hashlib.sha256(content).digest():
                board.write(path, content, _reporter(progress, path, len(content)))
                sent += 1
        if "fieldline_board.mpy" in files:
            board.reserve_flash(say)
    return Installed(sent, len(files) - sent, removed)


def _reporter(progress: Callable[[Step], None], path: str, size: int) -> Callable[[int], None]:
    return lambda done: progress(Step(path, done, size))


def _stale(board: BoardFiles, files: Collection[str]) -> list[str]:
    """What is in the packages' folders on the board and not in the build."""
    packages = sorted({path.split("/")[0] for path in files if "/" in path})
    return [path for package in packages for path in board.tree(package) if path not in files]


def _parents(path: str) -> list[str]:
    """The folders above a path on the board."""
    return [str(parent) for parent in PurePosixPath(path).parents if parent.name]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
