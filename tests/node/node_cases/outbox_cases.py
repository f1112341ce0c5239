"""The outbox, on both interpreters; power cuts are in cutting.py."""

from fakes.flash import FakeFlash
from node_cases.cutting import record

from fieldline_node.errors import StorageError
from fieldline_node.journal import Journal
from fieldline_node.lane import Missing
from fieldline_node.outbox import SAVE_AFTER, SAVE_AFTER_MS, Outbox
from fieldline_wire.codes import ALARM, BULK, GAP_DROPPED, GAP_ERASED, GAP_UNREADABLE, LIVE

SLOTS = 11  # of a sector of 256 bytes
HEADER = 20
RECORD = 21


class Kept:
    """An outbox of small sectors and what it stands on."""

    def __init__(self, sectors=6, journal=None, flash=None, random32=None):
        self.journal_flash = journal or FakeFlash(2, 512)
        self.flash = flash or FakeFlash(sectors, 256)
        self.random32 = random32 or (lambda: 0xABCD)
        self.outbox = None
        self.restart()

    def restart(self):
        journal = Journal(self.journal_flash)
        journal.mount()
        self.outbox = Outbox(self.flash, journal, self.random32)
        self.outbox.mount()
        return self.outbox

    def fill(self, cls, count):
        """Appends `count` readings whose value is their number."""
        for _ in range(count):
            number = self.outbox.next(cls)
            assert self.outbox.append(cls, record(number)) == number

    def values(self, cls, first, limit):
        found = self.outbox.peek(cls, first, limit)
        assert not isinstance(found, Missing), (found.first, found.last, found.reason)
        return [each.value for each in found]

    def gap(self, cls, first):
        found = self.outbox.peek(cls, first, 48)
        assert isinstance(found, Missing), [each.value for each in found]
        return (found.first, found.last, found.reason)

    def sectors_of(self, cls):
        """Addresses of a class's sectors, by first number."""
        found = []
        for at in range(0, len(self.flash.data), 256):
            if self.flash.data[at : at + 2] == b"FO" and self.flash.data[at + 3] == cls:
                found.append((int.from_bytes(self.flash.data[at + 12 : at + 16], "big"), at))
        return [at for _, at in sorted(found)]


def case_each_class_counts_from_one():
    kept = Kept()
    kept.fill(LIVE, 3)
    kept.fill(ALARM, 1)
    kept.fill(BULK, 2)
    for _ in range(2):
        assert [kept.outbox.next(cls) for cls in (ALARM, LIVE, BULK)] == [2, 4, 3]
        assert kept.values(LIVE, 1, 48) == [1, 2, 3]
        assert kept.values(LIVE, 2, 1) == [2]
        assert kept.values(ALARM, 1, 48) == [1]
        assert kept.values(ALARM, 2, 48) == []
        kept.restart()


def case_a_record_comes_back_as_it_went_in():
    kept = Kept()
    for value in (0, 1, 2, 3, 99):
        given = record(value)
        given.value = -0x80000000 + value
        given.flags = 0xFF - value
        number = kept.outbox.append(LIVE, given)
        got = kept.restart().peek(LIVE, number, 1)[0]
        for name in ("sensor", "quantity", "flags", "value", "epoch", "seconds", "centis", "utc"):
            assert getattr(got, name) == getattr(given, name), name


def case_a_report_may_span_sectors():
    kept = Kept()
    kept.fill(LIVE, 30)
    assert kept.values(LIVE, 5, 20) == list(range(5, 25))
    assert kept.restart() and kept.values(LIVE, 25, 48) == list(range(25, 31))


def case_acks_are_saved_late():
    kept = Kept(sectors=20)
    kept.fill(LIVE, 150)
    kept.outbox.ack(LIVE, 40, 0)
    kept.outbox.tick(SAVE_AFTER_MS - 1)
    assert kept.outbox.floor(LIVE) == 40
    assert kept.restart().floor(LIVE) == 1
    kept.outbox.ack(LIVE, 1 + SAVE_AFTER, 0)
    kept.outbox.tick(1)
    assert kept.restart().floor(LIVE) == 1 + SAVE_AFTER
    kept.outbox.ack(LIVE, 1 + SAVE_AFTER + 1, 5)
    kept.outbox.tick(5 + SAVE_AFTER_MS)
    assert kept.restart().floor(LIVE) == 2 + SAVE_AFTER
    kept.outbox.ack(LIVE, 3, 0)
    assert kept.outbox.floor(LIVE) == 2 + SAVE_AFTER


def case_a_sector_is_used_again_only_when_its_ack_is_saved():
    kept = Kept()
    for number in range(1, 12 * SLOTS):
        kept.fill(LIVE, 1)
        kept.outbox.ack(LIVE, number + 1, 0)
        again = Kept(journal=kept.journal_flash, flash=kept.flash).outbox
        found = again.peek(LIVE, again.floor(LIVE), 1)
        assert not isinstance(found, Missing), number
    assert kept.outbox.usage()[2] == 0


def case_wear_goes_round():
    kept = Kept(sectors=7)
    for number in range(1, 40 * 7 * SLOTS):
        kept.fill(LIVE, 1)
        kept.outbox.ack(LIVE, number + 1, 0)
        kept.outbox.tick(number)
    assert max(kept.flash.erases) - min(kept.flash.erases) <= 1, kept.flash.erases
    assert min(kept.flash.erases) >= 39


def case_when_full_the_oldest_of_the_lowest_class_goes():
    kept = Kept(sectors=6)
    kept.fill(ALARM, SLOTS)
    kept.fill(LIVE, 2 * SLOTS)
    kept.fill(BULK, 3 * SLOTS)
    assert kept.outbox.usage() == (6 * 256, 6 * 256, 0)
    kept.fill(ALARM, 1)
    assert kept.gap(BULK, 1) == (1, SLOTS, GAP_DROPPED)
    kept.fill(LIVE, 2 * SLOTS)
    assert kept.gap(BULK, 1) == (1, 3 * SLOTS, GAP_DROPPED)
    assert kept.gap(BULK, 3 * SLOTS) == (3 * SLOTS, 3 * SLOTS, GAP_DROPPED)
    assert kept.values(LIVE, 1, 48) == list(range(1, 4 * SLOTS + 1))
    kept.fill(LIVE, 1)
    assert kept.gap(LIVE, 1) == (1, SLOTS, GAP_DROPPED)
    kept.fill(ALARM, 4 * SLOTS)
    for _ in range(2):
        # Live keeps the sector that takes its next reading; all others went to alarms.
        assert kept.gap(ALARM, 1) == (1, SLOTS, GAP_DROPPED)
        assert kept.values(ALARM, SLOTS + 1, 99) == list(range(SLOTS + 1, 5 * SLOTS + 2))
        assert kept.gap(LIVE, 1) == (1, 4 * SLOTS, GAP_DROPPED)
        assert kept.values(LIVE, 4 * SLOTS + 1, 9) == [4 * SLOTS + 1]
        assert kept.outbox.usage() == (6 * 256, 6 * 256, 8 * SLOTS)
        kept.restart()


def case_a_gap_ends_with_its_ack():
    kept = Kept(sectors=4)
    kept.fill(LIVE, 5 * SLOTS)
    assert kept.gap(LIVE, 1) == (1, SLOTS, GAP_DROPPED)
    kept.outbox.ack(LIVE, SLOTS + 1, 0)
    kept.outbox.tick(SAVE_AFTER_MS)
    for _ in range(2):
        assert kept.values(LIVE, kept.outbox.floor(LIVE), 1) == [SLOTS + 1]
        kept.restart()


def case_a_rotten_record_is_a_gap_of_its_own():
    kept = Kept()
    kept.fill(LIVE, 8)
    at = kept.sectors_of(LIVE)[0] + HEADER
    for bad in (3, 6, 7):
        kept.flash.data[at + (bad - 1) * RECORD + 9] ^= 0x20
    for _ in range(2):
        assert kept.values(LIVE, 1, 48) == [1, 2]
        assert kept.gap(LIVE, 3) == (3, 3, GAP_UNREADABLE)
        assert kept.values(LIVE, 4, 48) == [4, 5]
        assert kept.gap(LIVE, 6) == (6, 7, GAP_UNREADABLE)
        assert kept.values(LIVE, 8, 48) == [8]
        kept.restart()


def case_a_rotten_header_gives_no_number_twice():
    kept = Kept()
    kept.fill(LIVE, 2 * SLOTS + 3)
    newest = kept.sectors_of(LIVE)[-1]
    kept.flash.data[newest + 13] ^= 1
    kept.restart()
    first = 2 * SLOTS + 1
    assert kept.outbox.next(LIVE) == 3 * SLOTS + 1
    assert kept.gap(LIVE, first) == (first, 3 * SLOTS, GAP_UNREADABLE)
    kept.fill(LIVE, 2)
    for _ in range(2):
        assert kept.values(LIVE, 1, 48) == list(range(1, first))
        assert kept.gap(LIVE, first) == (first, 3 * SLOTS, GAP_UNREADABLE)
        assert kept.values(LIVE, 3 * SLOTS + 1, 48) == [3 * SLOTS + 1, 3 * SLOTS + 2]
        kept.restart()


def case_a_rotten_header_in_the_middle_is_a_gap():
    kept = Kept()
    kept.fill(LIVE, 3 * SLOTS)
    kept.flash.data[kept.sectors_of(LIVE)[1]] ^= 1
    kept.restart()
    assert kept.gap(LIVE, SLOTS + 1) == (SLOTS + 1, 2 * SLOTS, GAP_UNREADABLE)
    assert kept.values(LIVE, 2 * SLOTS + 1, 48) == list(range(2 * SLOTS + 1, 3 * SLOTS + 1))


def case_without_its_journal_numbers_and_stream_go_on():
    kept = Kept()
    kept.fill(LIVE, 2 * SLOTS + 3)
    kept.fill(ALARM, 1)
    again = Kept(journal=FakeFlash(2, 512), flash=kept.flash, random32=lambda: 77)
    assert again.outbox.stream == 0xABCD
    assert again.outbox.next(LIVE) == 2 * SLOTS + 4
    assert again.values(LIVE, 1, 48) == list(range(1, 2 * SLOTS + 4))


def case_without_its_sectors_numbers_go_on_and_the_rest_is_a_gap():
    kept = Kept()
    kept.fill(LIVE, SLOTS + 3)
    again = Kept(journal=kept.journal_flash, random32=lambda: 77)
    assert again.outbox.stream == 0xABCD
    assert again.outbox.next(LIVE) == 2 * SLOTS + 1
    assert again.gap(LIVE, 1) == (1, 2 * SLOTS, GAP_UNREADABLE)
    again.fill(LIVE, 1)
    assert again.values(LIVE, 2 * SLOTS + 1, 9) == [2 * SLOTS + 1]


def case_a_wiped_node_starts_a_stream_of_its_own():
    assert Kept(random32=lambda: 77).outbox.stream == 77
    assert Kept(random32=lambda: 0).outbox.stream != 0


def case_sectors_of_another_stream_are_free():
    old = Kept()
    old.fill(LIVE, 6 * SLOTS)
    kept = Kept(flash=old.flash, journal=Kept(random32=lambda: 77).journal_flash)
    assert kept.outbox.stream == 77
    assert kept.outbox.next(LIVE) == 1
    assert kept.outbox.usage()[0] == 0
    kept.fill(LIVE, 5)
    assert kept.restart() and kept.values(LIVE, 1, 9) == [1, 2, 3, 4, 5]


def case_a_sector_that_takes_nothing_loses_nothing():
    kept = Kept(sectors=7)
    kept.fill(LIVE, 4)
    assert kept.values(LIVE, 1, 9) == [1, 2, 3, 4]
    first = kept.sectors_of(LIVE)[0] // 256
    kept.flash.stuck = {first, (first + 2) % 7}
    kept.fill(LIVE, 3 * SLOTS)
    assert kept.outbox.faults >= 2
    for _ in range(2):
        assert kept.values(LIVE, 1, 99) == list(range(1, 3 * SLOTS + 5))
        kept.restart()


def case_a_full_ring_with_a_bad_sector_goes_on():
    kept = Kept(sectors=6)
    kept.flash.stuck = {2}
    kept.fill(LIVE, 30 * SLOTS)
    assert kept.outbox.usage()[2] >= 24 * SLOTS
    first = kept.outbox.oldest(LIVE)
    assert kept.values(LIVE, first, 99) == list(range(first, 30 * SLOTS + 1))


def case_a_record_in_anothers_place_is_not_taken_for_it():
    kept = Kept()
    kept.fill(LIVE, 4)
    at = kept.sectors_of(LIVE)[0] + HEADER
    second = kept.flash.data[at + RECORD : at + 2 * RECORD]
    kept.flash.data[at + 2 * RECORD : at + 3 * RECORD] = second
    assert kept.values(LIVE, 1, 9) == [1, 2]
    assert kept.gap(LIVE, 3) == (3, 3, GAP_UNREADABLE)


def case_a_dead_flash_is_said_and_gives_no_number():
    kept = Kept()
    kept.fill(LIVE, 4)
    kept.flash.stuck = set(range(6))
    for _ in range(3):
        try:
            kept.outbox.append(LIVE, record(5))
        except StorageError:
            continue
        raise AssertionError("a dead flash took a reading")
    assert kept.outbox.next(LIVE) == 5
    assert kept.values(LIVE, 1, 9) == [1, 2, 3, 4]
    kept.flash.stuck = set()
    kept.restart()
    assert kept.outbox.next(LIVE) == 5
    kept.fill(LIVE, 1)
    assert kept.values(LIVE, 1, 9) == [1, 2, 3, 4, 5]


def case_erase_makes_gaps():
    kept = Kept()
    kept.fill(LIVE, SLOTS + 4)
    kept.fill(ALARM, 2)
    kept.outbox.ack(LIVE, 3, 0)
    kept.outbox.erase()
    for _ in range(2):
        assert kept.gap(LIVE, 3) == (3, SLOTS + 4, GAP_ERASED)
        assert kept.gap(ALARM, 1) == (1, 2, GAP_ERASED)
        assert kept.outbox.usage()[2] == SLOTS + 4
        kept.restart()
    kept.fill(LIVE, 1)
    assert kept.values(LIVE, SLOTS + 5, 9) == [SLOTS + 5]


def case_an_ack_of_numbers_never_given_is_ignored():
    kept = Kept()
    kept.fill(LIVE, 3)
    kept.outbox.ack(LIVE, 5, 0)
    assert kept.outbox.floor(LIVE) == 1
    kept.outbox.ack(LIVE, 4, 0)
    assert kept.outbox.floor(LIVE) == 4


def case_four_sectors_are_the_least():
    try:
        Outbox(FakeFlash(3, 256), None, None)
    except ValueError:
        return
    raise AssertionError("three sectors were taken")
