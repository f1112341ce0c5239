"""Work on many nodes in slices, so that no reading waits for it: a slice is a millisecond or two of the event loop.

Rules: what is walked must not change on the way, or be a copy.
"""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
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
    with fleeting():
        yield
        gc.freeze()


@contextmanager
def fleeting() -> Iterator[None]:
    """What is made in here is gone when this is left, so it is not searched for garbage meanwhile."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
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


class Encoded(str):
    """JSON that dumps() takes as it is: the text of 30,000 nodes takes a fifth of the memory of their values."""

    __slots__ = ()


async def encoded_list(items: Iterable[T], value: Callable[[T], Any]) -> Encoded:
    """The list of the value of each item."""
    found = [_compact([value(item) for item in part])[1:-1] async for part in slices(items)]
    return Encoded(f"[{','.join(found)}]")


async def encoded_object(items: Iterable[T], pair: Callable[[T], tuple[str, Any]]) -> Encoded:
    """The object of the name and value of each item."""
    found = [_compact(dict(map(pair, part)))[1:-1] async for part in slices(items)]
    return Encoded(f"{{{','.join(found)}}}")


async def dumps(value: Any) -> bytes:
    """`value` as JSON. Long lists and objects at its first levels are encoded in slices: a thread would not help, the
    encoder holds the interpreter's lock."""
    found: list[str] = []
    await _dump(value, found, 5)
    return "".join(found).encode()


async def _dump(value: Any, found: list[str], levels: int) -> None:
    if isinstance(value, Encoded):
        found.append(value)
    elif isinstance(value, dict) and len(value) > SLICE:
        await _dump_slices(value.items(), dict, "{}", found)
    elif isinstance(value, list) and len(value) > SLICE:
        await _dump_slices(value, list, "[]", found)
    elif isinstance(value, dict) and levels:
        found.append("{")
        for at, (key, each) in enumerate(value.items()):
            found.append(f"{',' if at else ''}{json.dumps(str(key))}:")
            await _dump(each, found, levels - 1)
        found.append("}")
    elif isinstance(value, list) and levels:
        found.append("[")
        for at, each in enumerate(value):
            if at:
                found.append(",")
            await _dump(each, found, levels - 1)
        found.append("]")
    else:
        found.append(_compact(value))


async def _dump_slices(items: Iterable[Any], kind: type, around: str, found: list[str]) -> None:
    before = around[0]
    async for part in slices(items):
        found += (before, _compact(kind(part))[1:-1])
        before = ","
    found.append(around[1])


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
