"""The window of QoS 1: order, bounds and identifiers, whatever the order of the PUBACKs."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline_gateway.mqtt.codec.fields import PUBLISH_IDS
from fieldline_gateway.mqtt.window import Message, Run, Window


def message(number: int) -> Message:
    return b"\0\1t", str(number).encode(), b""


def window(size: int, count: int) -> Window[int]:
    """A window with `count` messages put, each marked with its number."""
    out: Window[int] = Window(size)
    for number in range(count):
        out.put([message(number)], number)
    return out


def test_sends_no_more_than_its_size_and_in_order() -> None:
    it = window(3, 5)
    assert it.take() == Run([message(0), message(1), message(2)], 1)
    assert it.take().messages == []
    assert (it.held, it.in_flight) == (5, 3)
    assert it.acknowledge([1, 2]) == 2
    assert it.take() == Run([message(3), message(4)], 4)
    assert it.delivered() == [0, 1]
    assert it.delivered() == []


def test_pubacks_out_of_order_deliver_in_order() -> None:
    it = window(4, 4)
    it.take()
    assert it.acknowledge([3]) == 0
    assert it.acknowledge([2, 4]) == 0
    assert it.delivered() == []
    assert it.acknowledge([1]) == 4
    assert it.delivered() == [0, 1, 2, 3]


def test_a_mark_waits_for_all_messages_before_it() -> None:
    it: Window[str] = Window(10)
    it.put([message(0), message(1), message(2)], "report")
    it.put([], "nothing to say")
    it.put([message(3)], "next")
    it.take()
    it.acknowledge([1, 2])
    assert it.delivered() == []
    it.acknowledge([3])
    assert it.delivered() == ["report", "nothing to say"]


def test_a_mark_without_messages_is_delivered_at_once() -> None:
    it: Window[str] = Window(10)
    it.put([], "nothing to say")
    assert it.delivered() == ["nothing to say"]


def test_unknown_and_repeated_pubacks_are_counted_and_change_nothing() -> None:
    it = window(4, 4)
    assert it.acknowledge([1]) == 0  # not sent yet
    it.take()
    assert it.acknowledge([9, 65_535]) == 0
    assert it.acknowledge([2, 2]) == 0
    assert it.acknowledge([1, 1]) == 2
    assert it.unknown_acks == 5
    assert it.delivered() == [0, 1]


def test_repeat_is_what_was_sent_under_the_same_identifiers() -> None:
    it = window(3, 5)
    it.take()
    it.acknowledge([1, 3])
    assert it.repeat() == Run([message(1), message(2)], 2, True)
    assert it.acknowledge([2]) == 1  # what was acknowledged out of order before is asked for again
    assert it.acknowledge([3]) == 1


def test_repeat_keeps_to_what_the_server_allows_and_take_goes_on_with_it() -> None:
    it = window(4, 6)
    it.take()
    it.allow(2)
    assert it.repeat() == Run([message(0), message(1)], 1, True)
    assert it.take() == Run([], 3, True)
    assert it.in_flight == 2
    assert it.acknowledge([4]) == 0  # not sent on this connection
    assert it.unknown_acks == 1
    assert it.acknowledge([1]) == 1
    assert it.take() == Run([message(2)], 3, True)
    assert it.acknowledge([2, 3]) == 2
    assert it.take() == Run([message(3)], 4, True)
    assert it.take() == Run([message(4)], 5)
    it.allow(100)
    assert it.take() == Run([message(5)], 6)  # its own size holds all the same


def test_nothing_to_repeat_is_nothing_new_either() -> None:
    it = window(4, 6)
    assert it.repeat() == Run([], 1, True)
    assert it.take().messages == [message(n) for n in range(4)]


def test_what_the_server_did_not_take_is_found_and_sent_again_under_its_identifier() -> None:
    it = window(6, 8)
    it.take()
    assert it.message(2) == message(1)
    assert it.message(7) is None  # not sent
    it.acknowledge([4])
    assert it.message(4) is None  # delivered
    assert it.resend([6, 2, 1, 4, 2, 9]) == [Run([message(0), message(1)], 1), Run([message(5)], 6)]
    assert it.acknowledge([1, 2, 3]) == 4
    assert it.message(1) is None
    assert it.in_flight == 2


def test_resend_over_the_end_of_the_identifiers() -> None:
    it: Window[int] = Window(4)
    it._oldest = it._next = it._sent = PUBLISH_IDS - 2
    it.put([message(n) for n in range(4)], 0)
    assert it.take().first_id == PUBLISH_IDS - 1
    [run] = it.resend([PUBLISH_IDS, 1])
    assert run == Run([message(1), message(2)], PUBLISH_IDS)


def test_identifiers_go_round() -> None:
    it: Window[int] = Window(10_000)
    for number in range(0, 200_000, 10_000):
        it.put([message(number)] * 10_000, number)
        run = it.take()
        used = [(run.first_id - 1 + place) % PUBLISH_IDS + 1 for place in range(10_000)]
        assert it.acknowledge(used) == 10_000
    assert it.unknown_acks == 0
    assert it.held == 0


def delivered_up_to(it: Window[int], put: int) -> int:
    """The first message that is not delivered."""
    return put - it.held


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 20), st.randoms(use_true_random=False), st.integers(0, 65_600))
def test_against_a_model(size: int, rng: random.Random, start: int) -> None:
    """Any mix of putting, sending, acknowledging in any order, and reconnecting."""
    it: Window[int] = Window(size)
    it._oldest = it._next = it._sent = start  # as after `start` messages
    put = 0
    on_air: dict[int, int] = {}  # identifier: message number
    acknowledged: set[int] = set()
    delivered: list[int] = []
    sent: list[int] = []
    allowed = size

    def send(run: Run) -> None:
        for place, (_, payload, _) in enumerate(run.messages):
            packet_id = (run.first_id - 1 + place) % PUBLISH_IDS + 1
            assert packet_id not in on_air
            on_air[packet_id] = int(payload)
            assert run.repeated == (int(payload) < len(sent))
            if not run.repeated:
                sent.append(int(payload))

    for _ in range(60):
        step = rng.random()
        if step < 0.4:
            count = rng.randrange(4)
            it.put([message(put + i) for i in range(count)], put + count)
            put += count
        elif step < 0.9 and on_air:
            some = rng.sample(sorted(on_air), rng.randint(1, len(on_air)))
            acknowledged |= {on_air.pop(packet_id) for packet_id in some}
            it.acknowledge(some)
        elif step >= 0.9:
            it.allow(allowed := rng.randint(1, size + 3))
            on_air = {}
            acknowledged &= set(range(delivered_up_to(it, put)))
            send(it.repeat())
        while (run := it.take()).messages:
            send(run)
        delivered += it.delivered()
        assert it.in_flight <= min(size, allowed)
        assert len(on_air) <= it.in_flight
        assert all(set(range(mark)) <= acknowledged for mark in delivered[-1:])
    assert sent == list(range(len(sent)))  # each for the first time once, in order
    assert delivered == sorted(delivered)
    assert it.unknown_acks == 0
