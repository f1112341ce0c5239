"""Memory that survives the process: a file mapped into it, or nothing but memory.

Rules: a change is in the file at once (in the kernel's cache), so killing the process loses none and tears
none.
"""

from __future__ import annotations

import mmap
from pathlib import Path

from fieldline_boards.errors import BoardError


def mapped_memory(path: Path | None, initial: bytes, what: str) -> mmap.mmap:
    """`initial` on first use, then what the file holds; BoardError where its size is another."""
    if path is None:
        memory = mmap.mmap(-1, len(initial))
        memory[:] = initial
        return memory
    try:
        if not path.exists():
            unfinished = path.with_name(path.name + ".new")
            unfinished.write_bytes(initial)
            unfinished.replace(path)
        with path.open("r+b") as file:
            size = file.seek(0, 2)
            if size != len(initial):
                raise BoardError(
                    f"{path} has {size} bytes, {what} has {len(initial)}: "
                    "name another file, or the chip and flash size that it was made with"
                )
            return mmap.mmap(file.fileno(), size)
    except OSError as error:
        raise BoardError(f"{path}: {error.strerror}; name a place that can be written") from error
