"""Work on many nodes in slices, so that no reading waits for it: a slice is a millisecond or two of the event loop.

Rules: what is walked must not change on the way, or be a copy.
"""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

SLICE = 200
"""Nodes in a turn of the event loop."""

MANY = 1000
"""Nodes, from which on what is made for them is a reason to look for garbage that takes hundreds of milliseconds."""

T = TypeVar("T")


@contextmanager
def staying(nodes: int) -> Iterator[None]:
    """What is made in here for so many nodes stays, so it is not searched for garbage, now or later."""
    if nodes < MANY:
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


async def slices(items: Iterable[T], size: int | None = None) -> AsyncIterator[list[T]]:
    """The items in lists of `size` (SLICE), with a turn for everybody else between two of them."""
    each, size = iter(items), size or SLICE
    part = list(islice(each, size))
    while part:
        yield part
        part = list(islice(each, size))
        if part:
            await asyncio.sleep(0)


async def dumps(value: Any) -> bytes:
    """`value` as JSON. Long lists at its first levels are encoded in slices: a thread would not help, the encoder
    holds the interpreter's lock."""
    found: list[str] = []
    await _dump(value, found, 3)
    return "".join(found).encode()


async def _dump(value: Any, found: list[str], levels: int) -> None:
    if isinstance(value, dict) and levels:
        found.append("{")
        for at, (key, each) in enumerate(value.items()):
            found.append(f"{',' if at else ''}{json.dumps(str(key))}:")
            await _dump(each, found, levels - 1)
        found.append("}")
    elif isinstance(value, list) and len(value) > SLICE:
        before = "["
        async for part in slices(value):
            found += (before, _compact(part)[1:-1])
            before = ","
        found.append("]")
    else:
        found.append(_compact(value))


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
