"""Any message comes back as it went; any bytes are a message, or PeerError, and nothing else."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fieldline_wire import messages
from fieldline_wire.errors import PeerError
from tests.wire import strategies


@given(strategies.values)
def test_a_message_comes_back_as_it_went(value: Any) -> None:
    assert messages.decode(value.to_bytes()) == value


def decode_or_refuse(data: bytes) -> None:
    try:
        value = messages.decode(data)
    except PeerError:
        return
    if isinstance(value, messages.Unknown):
        assert data == bytes((value.type,)) + value.body
    else:
        assert messages.decode(value.to_bytes()) == value  # what is accepted can be said again


@given(st.binary(max_size=600))
def test_any_bytes(data: bytes) -> None:
    decode_or_refuse(data)


@given(st.integers(0, 12), st.binary(max_size=80))
def test_any_bytes_after_a_known_type(kind: int, data: bytes) -> None:
    decode_or_refuse(bytes((kind,)) + data)


@given(strategies.mutated(strategies.values.map(lambda value: value.to_bytes())))
def test_a_message_with_wrong_bytes(data: bytes) -> None:
    decode_or_refuse(data)


@given(strategies.values)
def test_a_message_cut_off_is_another_or_refused(value: Any) -> None:
    data = value.to_bytes()
    for size in range(len(data)):
        decode_or_refuse(data[:size])


@given(strategies.values, st.integers(2, 255).filter(lambda tag: tag > 7), st.binary(max_size=30))
def test_a_tlv_of_a_later_version_is_kept_and_harms_nothing(value: Any, tag: int, body: bytes) -> None:
    if not hasattr(value, "unknown"):
        return
    later = messages.decode(value.to_bytes() + bytes((tag, len(body))) + body)
    value.unknown.append((tag, body))
    assert later == value


def test_repr_names_class_and_fields() -> None:
    assert repr(messages.Gap(1, 2, 3, 4, 5)) == "Gap(cls=1, first=3, last=4, reason=5, stream=2, unknown=[])"


def test_values_of_other_classes_differ() -> None:
    assert messages.Result(1, 2) != messages.Command(1, 2)
    assert messages.Reading(1, 2, 3, 4, 5) != (1, 2, 3, 4, 5)
