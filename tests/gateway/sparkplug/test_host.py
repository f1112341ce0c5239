"""STATE messages: which of them count (specification 3.0, sections 5.4 and 5.5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_gateway.sparkplug.host import HostGate, HostState, parse
from tests.gateway.sparkplug.driver import state


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"ONLINE",
        b"null",
        b"[true, 1]",
        b'{"online": true}',
        b'{"timestamp": 1}',
        b'{"online": 1, "timestamp": 1}',
        b'{"online": "true", "timestamp": 1}',
        b'{"online": true, "timestamp": "1"}',
        b'{"online": true, "timestamp": true}',
        b'{"online": true, "timestamp": 1.5}',
        b'{"online": true, "timestamp": -1}',
        b'{"online": true, "timestamp": NaN}',
        b'{"online": true, "timestamp": 1e400}',
        b'{"online": true, "timestamp": 99999999999999999}',
        b"[" * 1000,
        b'{"online": true, "timestamp": 1, "x": "' + b"x" * 1024 + b'"}',
        b'{"online": true, "timestamp": 1}\xff',
    ],
)
def test_what_is_no_state(payload: bytes) -> None:
    assert parse(payload) is None


def test_what_is_one() -> None:
    assert parse(state(True, 5)) == HostState(True, 5)
    assert parse(b'{"timestamp": 1.7e12, "online": false, "more": []}') == HostState(False, 1_700_000_000_000)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing(payload: bytes) -> None:
    parse(payload)


def offers(gate: HostGate, *said: tuple[bool, int]) -> list[bool]:
    return [gate.offer(state(online, timestamp)) for online, timestamp in said]


def test_stale_messages_do_not_count() -> None:
    gate = HostGate()
    gate.connected("a")
    assert offers(gate, (True, 10), (False, 9), (True, 10), (False, 10)) == [True, False, True, True]
    assert gate.state is False
    assert offers(gate, (False, 20), (True, 15), (True, 20)) == [True, False, True]
    assert offers(gate, (False, 15)) == [False]
    assert gate.ignored == 3


def test_offline_is_compared_with_the_last_online_alone() -> None:
    gate = HostGate()
    gate.connected("a")
    assert offers(gate, (True, 10), (False, 30), (False, 20)) == [True, True, True]
    assert offers(gate, (True, 25)) == [False]


def test_timestamps_are_kept_for_each_server_and_outlive_the_connection() -> None:
    gate = HostGate()
    gate.connected("a")
    offers(gate, (True, 100))
    gate.connected("b")
    assert gate.state is None
    assert offers(gate, (True, 50)) == [True]
    gate.connected("a")
    assert offers(gate, (True, 99), (True, 100)) == [False, True]


def test_a_new_session_of_the_host_is_told_from_the_same_one_said_again() -> None:
    gate = HostGate()
    gate.connected("a")
    offers(gate, (True, 10))
    assert not gate.renewed
    offers(gate, (True, 10))
    assert not gate.renewed
    offers(gate, (True, 11))
    assert gate.renewed
    gate.connected("a")
    offers(gate, (True, 12))
    assert not gate.renewed, "on a new connection nothing was sent yet"
