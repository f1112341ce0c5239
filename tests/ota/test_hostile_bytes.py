"""No bytes of a peer raise anything but PeerError: envelopes, manifests, roots, tokens, images, deltas, messages."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
from fakes.flash import FakeFlash
from fakes.inflate import Inflater
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline_ota.delta import deflate_image, make_delta
from fieldline_ota.errors import ImageError
from fieldline_ota.romfs import build_image
from fieldline_wire.errors import PeerError, Refused, UsageError
from fieldline_wire.messages import decode
from fieldline_wire.update import cbor, romfs
from fieldline_wire.update.delta import WINDOW_BITS, Patch
from fieldline_wire.update.envelope import open_envelope
from fieldline_wire.update.manifest import Manifest
from fieldline_wire.update.messages import Status
from fieldline_wire.update.root import Root, verify_steps
from fieldline_wire.update.slots import PAGES, SlotJournal, read_record
from fieldline_wire.update.standing import blank, root_facts
from fieldline_wire.update.token import open_token
from fieldline_wire.update.trust import pack_trust, unpack_trust
from tests.ota import material


@functools.cache
def right() -> tuple[bytes, ...]:
    one = material.image("one")
    made = material.release(one, 2)
    root = material.root(2, ("ben", "cid"), "release2")
    return (
        made.envelope,
        made.manifest.to_bytes(),
        root.to_bytes(),
        one,
        deflate_image(one),
        material.root_file(root, ("ann", "ben", "cid")),
        pack_trust(bytes(32), root.to_bytes()),
        Status([1] * 9, bytes(8), 1).to_bytes(),
    )


def patched(data: bytes) -> None:
    patch = Patch(
        Inflater(lambda at, n: data[at : at + n], len(data), WINDOW_BITS), lambda at, n: bytes(n), 900, 3000
    )
    while patch.next():
        pass


PARSERS: tuple[Callable[[bytes], object], ...] = (
    open_envelope,
    Manifest.from_bytes,
    Root.from_bytes,
    cbor.decode,
    lambda data: romfs.index(lambda at, n: data[at : at + n], len(data)),
    patched,
    lambda data: list(verify_steps(lambda at, n: data[at : at + n], len(data), material.root())),
    unpack_trust,
    decode,
    lambda data: open_token(data, bytes(32), bytes(8), bytes(8), 0),
    lambda data: read_record(data + bytes(256)),
)


@settings(max_examples=400)
@given(st.data())
def test_broken_bytes(data: st.DataObject) -> None:
    whole = bytearray(data.draw(st.sampled_from(right())))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, min(len(whole), 400)))
        whole[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    for parse in PARSERS:
        try:
            parse(bytes(whole))
        except PeerError:
            pass


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    for parse in PARSERS:
        try:
            parse(data)
        except PeerError:
            pass


VALUES = st.recursive(
    st.integers(0, 2**32 - 1) | st.binary(max_size=30) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers(0, 300), inner, max_size=4),
    max_leaves=8,
)


def depth(value: object) -> int:
    """How many arrays and maps stand in each other."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@given(VALUES)
def test_cbor_there_and_back_and_only_one_way(value: object) -> None:
    data = cbor.encode(value)  # type: ignore[arg-type]
    try:
        found = cbor.decode(data)
    except PeerError:
        assert depth(value) > cbor.MAX_DEPTH
        return
    assert found == value
    assert cbor.encode(found) == data


@pytest.mark.parametrize(
    "data", ["1800", "190000", "1a00000000", "a2020001", "a2010001", "1b0000000000000000", "20", "f6"]
)
def test_cbor_that_is_not_deterministic_is_refused(data: str) -> None:
    with pytest.raises(PeerError):
        cbor.decode(bytes.fromhex(data))


def test_what_has_no_encoding() -> None:
    for value in (-1, 2**32, 1.5, None, True):
        with pytest.raises(UsageError):
            cbor.encode(value)  # type: ignore[arg-type]


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\x00"), min_size=1, max_size=12)


@given(st.dictionaries(NAMES, st.binary(max_size=300), max_size=8))
def test_an_image_there_and_back(files: dict[str, bytes]) -> None:
    try:
        image = build_image({f"pkg/{name}": content for name, content in files.items()})
    except ImageError:
        assert any(name in (".", "..") for name in files)
        return
    found = romfs.index(lambda at, n: image[at : at + n], len(image))
    for name, content in files.items():
        at, size = found[f"pkg/{name}"]
        assert image[at : at + size] == content
    assert image == build_image({f"pkg/{name}": files[name] for name in reversed(files)})


@settings(max_examples=60)
@given(
    st.binary(max_size=600),
    st.lists(st.tuples(st.integers(0, 600), st.integers(0, 20), st.binary(max_size=20))),
)
def test_a_delta_makes_the_image(base: bytes, edits: list[tuple[int, int, bytes]]) -> None:
    new = bytearray(base)
    for at, size, content in edits:
        new[at : at + size] = content
    image = bytes(new) or b"\x00"
    delta = make_delta(base, image)
    patch = Patch(
        Inflater(lambda at, n: delta[at : at + n], len(delta), WINDOW_BITS),
        lambda at, n: base[at : at + n],
        len(base),
        len(image),
    )
    made = b""
    while part := patch.next():
        made += part
    assert made == image


def test_a_delta_that_never_ends_gives_no_more_than_the_image() -> None:
    bomb = deflate_image(bytes(1_000_000))
    assert len(bomb) < 2000
    with pytest.raises(Refused):
        patched(bomb)


def test_the_root_facts_are_the_roots() -> None:
    root = material.root(70000, vendor="v" * 32)
    assert root_facts(root.to_bytes()) == (70000, "v" * 32)


def test_a_journal_goes_round_its_sectors() -> None:
    flash = FakeFlash(4)
    journal = SlotJournal(flash)
    journal.mount()
    journal.write(blank(bytes(8), 1))
    for number in range(2, 5 * PAGES):
        journal.put(counter=number)
        again = SlotJournal(flash)
        again.mount()
        assert again.record is not None and again.record.pack() == journal.record.pack()  # type: ignore[union-attr]
    assert max(flash.erases) <= 4
