"""Put a build on a board.

Rules: a file whose digest is right stays, so an install that was broken off goes on where it stopped; main.py comes
last, so that no half firmware starts. What an older build left in the packages' folders is removed: a forgotten .py
would be imported before the new .mpy. Files hide what is frozen into the board's image, and an empty folder, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fieldline_boards.boardfiles import BoardFiles
from fieldline_boards.build import SOURCES
from fieldline_boards.errors import BoardError

IDENTITY = "identity.bin"
_LAST = ("boot.py", "main.py")
_HIDES = ("main.py", "fieldline_board.mpy", "fieldline_board.py", "fieldline_node", "fieldline_wire")
_IMAGE = ".frozen"  # its place on MicroPython's sys.path

# The board that the image's node is for.
_FROZEN_NAME = """
import sys
path = sys.path[:]
sys.path[:] = [{image!r}]
try:
    import fieldline_board
    print(fieldline_board.NAME)
except ImportError:
    print()
sys.path[:] = path
"""

_UNCOVER = """
import os
removed = 0
def remove(path):
    global removed
    try:
        mode = os.stat(path)[0]
    except OSError:
        return
    if mode & 0x4000:
        for name in os.listdir(path):
            remove(path + "/" + name)
        os.rmdir(path)
    else:
        os.remove(path)
        removed += 1
for path in {paths}:
    remove("/" + path)
print(removed)
"""


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


def install_frozen(
    port: str, name: str, identity: bytes | None, say: Callable[[str], None] = lambda line: None
) -> Installed:
    """Put `identity` on the board at `port`, whose image has the node for `name` in it, and restart it.

    Files of a node that would be imported in its place go. BoardError where the image has no node, or another's.
    """
    with BoardFiles(port) as board:
        found = board.run(_FROZEN_NAME.format(image=_IMAGE)).strip()
        if found != name:
            raise BoardError(
                f"{port}: the image on this board has {f'the node for {found}' if found else 'no node'} in it, "
                f"not that for {name}; write one made with `fieldline node build {name} --frozen`, or install "
                "the node's files instead (without --frozen)"
            )
        removed = int(board.run(_UNCOVER.format(paths=_HIDES)))
        sent = kept = 0
        if identity is not None:
            kept = int(board.digests([IDENTITY]).get(IDENTITY) == hashlib.sha256(identity).digest())
            sent = 1 - kept
        if identity is not None and sent:
            board.write(IDENTITY, identity, lambda done: None)
        board.reserve_flash(say)
    return Installed(sent, kept, removed)


def _reporter(progress: Callable[[Step], None], path: str, size: int) -> Callable[[int], None]:
    return lambda done: progress(Step(path, done, size))


def _stale(board: BoardFiles, files: Collection[str]) -> list[str]:
    """What is in the packages' folders on the board and not in the build."""
    packages = sorted({str(SOURCES), *(path.split("/")[0] for path in files if "/" in path)})
    return [path for package in packages for path in board.tree(package) if path not in files]


def _parents(path: str) -> list[str]:
    """The folders above a path on the board."""
    return [str(parent) for parent in PurePosixPath(path).parents if parent.name]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
