"""Makes deltas and deflated images (update.md 7).

Rules: the same two images give the same bytes. Matches are found as bsdiff does (Percival, "Naive differences of
executable code", 2003), over an index of short strings instead of a suffix array: images are small.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from fieldline_ota.romfs import varuint
from fieldline_wire.update.delta import WINDOW_BITS

_KEY = 6  # bytes: the shortest match that is looked up
_CANDIDATES = 48  # places of one key that are tried
_BETTER = 8  # bytes by which a match must beat going on where we are


@dataclass(frozen=True, slots=True)
class _Operation:
    add: int
    extra: int
    seek: int


def make_delta(base: bytes, image: bytes) -> bytes:
    """The delta that makes `image` of `base`."""
    out = bytearray()
    at = place = 0
    for operation in _operations(base, image):
        out += varuint(operation.add) + varuint(operation.extra) + varuint(_zigzag(operation.seek))
        out += bytes((image[at + i] - base[place + i]) & 0xFF for i in range(operation.add))
        at += operation.add
        out += image[at : at + operation.extra]
        at += operation.extra
        place += operation.add + operation.seek
    return _deflate(bytes(out))


def deflate_image(image: bytes) -> bytes:
    """`image` deflated: one operation without a base."""
    return _deflate(varuint(0) + varuint(len(image)) + varuint(0) + image)


def _zigzag(value: int) -> int:
    return 2 * value if value >= 0 else -2 * value - 1


def _deflate(data: bytes) -> bytes:
    """The shortest of what zlib makes of it within the window."""
    found = []
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED):
        for memory in (8, 9):
            packer = zlib.compressobj(9, zlib.DEFLATED, -WINDOW_BITS, memory, strategy)
            found.append(packer.compress(data) + packer.flush())
    return min(found, key=len)


class _Index:
    """Where short strings of `base` are."""

    def __init__(self, base: bytes) -> None:
        self._base = base
        self._at: dict[bytes, list[int]] = {}
        for at in range(len(base) - _KEY + 1):
            self._at.setdefault(base[at : at + _KEY], []).append(at)

    def longest(self, image: bytes, at: int) -> tuple[int, int]:
        """(length, place) of the longest match of image[at:] among the first candidates; (0, 0) for none."""
        best = where = 0
        for place in self._at.get(image[at : at + _KEY], ())[:_CANDIDATES]:
            length = _common(self._base, place, image, at, best)
            if length > best:
                best, where = length, place
        return best, where


def _common(base: bytes, place: int, image: bytes, at: int, least: int) -> int:
    """How many bytes are equal from there on; 0 where it is not more than `least`."""
    most = min(len(base) - place, len(image) - at)
    if least and (most <= least or base[place + least] != image[at + least]):
        return 0
    length = 0
    step = 64
    while length < most:
        if base[place + length : place + length + step] == image[at + length : at + length + step]:
            length += min(step, most - length)
        elif step > 1:
            step //= 2
        else:
            break
    return min(length, most)


def _operations(base: bytes, image: bytes) -> Iterator[_Operation]:
    """bsdiff's: what is added to the base, what is new, where to go on."""
    index = _Index(base)
    scan = length = place = 0
    last_scan = last_place = last_offset = 0
    while scan < len(image):
        score = 0
        scan += length
        ahead = scan
        while scan < len(image):
            length, place = index.longest(image, scan)
            while ahead < scan + length:
                score += _equal(base, ahead + last_offset, image, ahead)
                ahead += 1
            if (length == score and length) or length > score + _BETTER:
                break
            if ahead <= scan:
                ahead = scan + 1
            else:
                score -= _equal(base, scan + last_offset, image, scan)
            scan += 1
        if length == score and scan < len(image):
            continue
        forward = _forward(base, last_place, image, last_scan, scan)
        backward = 0 if scan >= len(image) else _backward(base, place, image, scan, last_scan)
        forward, backward = _overlap(base, image, (last_scan, last_place, forward), (scan, place, backward))
        add, start = forward, scan - backward
        after = place - backward if scan < len(image) else last_place + add
        yield _Operation(add, start - (last_scan + add), after - (last_place + add))
        last_scan, last_place, last_offset = start, after, place - scan


def _equal(base: bytes, place: int, image: bytes, at: int) -> int:
    return int(0 <= place < len(base) and base[place] == image[at])


def _forward(base: bytes, place: int, image: bytes, at: int, end: int) -> int:
    """How far from the last match on a difference is worth it."""
    equal = best = length = 0
    for i in range(min(end - at, len(base) - place)):
        equal += base[place + i] == image[at + i]
        if equal * 2 - (i + 1) > best * 2 - length:
            best, length = equal, i + 1
    return length


def _backward(base: bytes, place: int, image: bytes, at: int, begin: int) -> int:
    """How far before the new match a difference is worth it."""
    equal = best = length = 0
    for i in range(1, min(at - begin, place) + 1):
        equal += base[place - i] == image[at - i]
        if equal * 2 - i > best * 2 - length:
            best, length = equal, i
    return length


def _overlap(
    base: bytes, image: bytes, one: tuple[int, int, int], two: tuple[int, int, int]
) -> tuple[int, int]:
    """Lengths of both, where the first from the front and the second from the back meet."""
    (at, place, forward), (scan, other, backward) = one, two
    overlap = at + forward - (scan - backward)
    if overlap <= 0:
        return forward, backward
    score = best = length = 0
    for i in range(overlap):
        here = at + forward - overlap + i
        score += base[place + forward - overlap + i] == image[here]
        score -= base[other - backward + i] == image[scan - backward + i]
        if score > best:
            best, length = score, i + 1
    return forward + length - overlap, backward - length
