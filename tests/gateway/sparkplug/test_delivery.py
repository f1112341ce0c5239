"""The ledger: what is settled by which confirmation, and what goes out once more."""

from __future__ import annotations

from fieldline_gateway.records import ALARM, LIVE, Position
from fieldline_gateway.sparkplug.delivery import Ledger, Turn, soonest


def ledger(settle_ms: int = 60_000, window: int = 100) -> Ledger:
    return Ledger(settle_ms, mark_ms=1_000, confirm_ms=30_000, window=window)


def send(book: Ledger, now_ms: int, seq: int, cls: int = LIVE) -> Turn:
    turn = book.turn(Position(cls, seq))
    book.sent(now_ms, Position(cls, seq), 1)
    return turn


def test_a_mark_that_is_confirmed_settles_nothing_before_its_time() -> None:
    book = ledger()
    send(book, 0, 1)
    assert book.next_mark_ms() == 1_000
    first = book.mark(1_000)
    assert book.confirm(first) == []
    assert book.next_mark_ms() == 61_000
    second = book.mark(60_999)
    assert book.confirm(second) == []
    third = book.mark(61_000)
    assert book.next_mark_ms() is None, "one mark is on its way"
    assert book.confirm(third) == [Position(LIVE, 1)]
    assert book.next_mark_ms() is None
    assert book.unsettled == 0


def test_without_settling_time_the_own_mark_settles() -> None:
    book = ledger(settle_ms=0)
    send(book, 0, 1)
    send(book, 0, 7, ALARM)
    assert book.confirm(book.mark(5)) == [Position(ALARM, 7), Position(LIVE, 1)]
    assert book.next_mark_ms() is None


def test_a_later_mark_confirms_the_earlier_ones() -> None:
    book = ledger(settle_ms=0)
    send(book, 0, 1)
    book.mark(0)
    send(book, 10, 2)
    assert book.confirm(book.mark(10)) == [Position(LIVE, 2)]
    assert book.stalls_ms() is None


def test_a_mark_that_was_not_sent_confirms_only_what_was() -> None:
    book = ledger(settle_ms=0)
    send(book, 0, 1)
    number = book.mark(0)
    send(book, 1, 2)
    assert book.confirm(number) == [Position(LIVE, 1)]
    assert book.unsettled == 1


def test_confirmations_out_of_order_settle_by_number() -> None:
    book = ledger(settle_ms=0)
    send(book, 0, 1)
    first = book.mark(0)
    send(book, 0, 2)
    book.mark(0)
    assert book.confirm(first) == [Position(LIVE, 1)], "the second is still open"
    assert book.confirm(first) == []
    assert book.stalls_ms() == 30_000


def test_the_window_closes_and_a_quarter_of_it_brings_a_mark_at_once() -> None:
    book = ledger(window=8)
    send(book, 500, 1)
    assert book.next_mark_ms() == 1_500
    send(book, 501, 2)
    assert book.next_mark_ms() == 500
    number = book.mark(501)
    for seq in range(3, 9):
        send(book, 502, seq)
    assert not book.room
    book.confirm(number)
    assert book.room


def test_after_a_rewind_each_record_goes_out_once_more_and_no_more() -> None:
    book = ledger()
    assert [send(book, 0, seq) for seq in (1, 2, 3)] == [Turn.FIRST] * 3
    assert book.rewind()
    assert [send(book, 0, seq) for seq in (1, 2)] == [Turn.AGAIN] * 2
    assert book.rewind(), "the third was sent once only"
    assert [send(book, 0, seq) for seq in (1, 2, 3, 4)] == [Turn.SKIP, Turn.SKIP, Turn.AGAIN, Turn.FIRST]
    book.rewind()
    assert send(book, 0, 4) is Turn.AGAIN
    assert not book.rewind(), "all were sent twice"


def test_a_rewind_takes_back_the_marks_of_what_goes_out_again() -> None:
    book = ledger(settle_ms=1_000)
    send(book, 0, 1)
    book.confirm(book.mark(0))
    send(book, 500, 2)
    book.mark(500)
    assert book.rewind()
    assert book.confirm(book.mark(9_000)) == [], "neither has been sent again yet"
    send(book, 9_000, 1)
    book.mark(9_000)
    assert book.confirm(book.mark(10_000)) == [Position(LIVE, 1)], "the second has not"


def test_a_rewind_leaves_what_was_sent_twice_to_its_mark() -> None:
    book = ledger(settle_ms=1_000)
    send(book, 0, 1)
    book.rewind()
    assert send(book, 100, 1) is Turn.AGAIN
    book.mark(100)
    send(book, 200, 2)
    assert book.rewind()
    assert book.confirm(book.mark(1_100)) == [Position(LIVE, 1)]


def test_a_rewind_of_what_is_settled_is_none() -> None:
    book = ledger(settle_ms=0)
    send(book, 0, 1)
    book.confirm(book.mark(0))
    assert not book.rewind()


def test_a_new_session_forgets_and_never_goes_back() -> None:
    book = ledger(settle_ms=0)
    send(book, 0, 5)
    book.confirm(book.mark(0))
    send(book, 0, 6)
    book.mark(0)
    book.reset()
    assert book.stalls_ms() is None
    assert book.next_mark_ms() is None
    assert send(book, 9, 6) is Turn.FIRST
    assert book.confirm(book.mark(9)) == [Position(LIVE, 6)]


def test_an_unconfirmed_mark_stalls() -> None:
    book = ledger()
    assert book.stalls_ms() is None
    send(book, 0, 1)
    book.mark(100)
    assert book.stalls_ms() == 30_100
    assert book.oldest_unconfirmed() == 1
    book.confirm(1)
    assert book.oldest_unconfirmed() == 0


def test_soonest() -> None:
    assert soonest([None, 3, 2]) == 2
    assert soonest([None]) is None
