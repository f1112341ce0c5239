"""Small parts of the node one by one: clock, reporter, serial link, log; on both interpreters."""

from fakes.flash import FakeFlash
from fakes.node_peer import Line

from fieldline_node.clock import ASK_EVERY_MS, RETRY_MS, Clock
from fieldline_node.journal import Journal
from fieldline_node.lane import Record
from fieldline_node.links.serial import SerialLink
from fieldline_node.logbook import MAX_LINES, Logbook
from fieldline_node.outbox import Outbox
from fieldline_node.reporter import Reporter
from fieldline_wire.codes import GAP_ERASED, LIVE, LOG_INFO
from fieldline_wire.fragments import Assembler, split
from fieldline_wire.messages import Gap, Report
from fieldline_wire.serial import KIND_FRAGMENT, KIND_SEALED, Reader, encode

EPOCH = 5


def case_a_clock_tells_uptime_until_it_is_set():
    clock = Clock()
    assert not clock.is_set() and clock.stamp(12345) == (12, 34, False)
    clock.answer(2000, 1000, 1700000000, 250)
    assert clock.is_set() and clock.stamp(2000) == (1700000000, 75, True)
    assert clock.to_utc(1, 50) == (1700000000, 25)


def case_an_exact_time_replaces_a_rough_one_and_not_the_reverse():
    clock = Clock()
    clock.answer(1900, 1000, 1700000000, 0)
    assert clock.ask_due(2000) and not clock.ask_due(2001)
    clock.answer(2020, 2000, 1700000001, 0)
    assert clock.stamp(2010) == (1700000001, 0, True)
    clock.answer(3900, 3000, 1800000000, 0)
    assert clock.stamp(2010) == (1700000001, 0, True)
    assert not clock.ask_due(2020 + ASK_EVERY_MS - 1) and clock.ask_due(2020 + ASK_EVERY_MS)


def case_a_question_for_the_time_that_is_lost_is_asked_again():
    clock = Clock()
    assert clock.ask_due(0) and not clock.ask_due(RETRY_MS - 1) and clock.ask_due(RETRY_MS)
    clock.answer(RETRY_MS + 6000, RETRY_MS, 1700000000, 0)
    assert not clock.is_set()


def case_an_uptime_that_wraps_is_answered_rightly():
    clock = Clock()
    now = 2**32 + 500
    assert clock.ask_due(now)
    clock.answer(now + 100, 500, 1700000000, 0)
    assert clock.stamp(now + 50) == (1700000000, 0, True)


class Reports:
    """A reporter over an outbox."""

    def __init__(self):
        journal = Journal(FakeFlash(2, 512))
        journal.mount()
        self.clock = Clock()
        self.outbox = Outbox(FakeFlash(4, 1024), journal, lambda: 9)
        self.outbox.mount()
        self.reporter = Reporter(self.outbox, self.clock, EPOCH)

    def add(self, *times, epoch=EPOCH, utc=False):
        for seconds, centis in times:
            self.outbox.append(LIVE, Record(1, 2, 0, 3, epoch, seconds, centis, utc))

    def build(self, first, fresh=0):
        return self.reporter.build(LIVE, first, self.outbox.next(LIVE) - 1, fresh)


def case_a_report_holds_what_has_one_clock_and_one_epoch():
    reports = Reports()
    reports.add((10, 50), (11, 60), epoch=EPOCH - 1)
    reports.add((10, 0), (12, 1))
    reports.add((13, 0), utc=True)
    first, second, third = [reports.build(number) for number in (1, 3, 5)]
    assert (first.epoch, first.utc, first.base_time, len(first.readings)) == (EPOCH - 1, False, 10, 2)
    assert [each.offset for each in first.readings] == [50, 160]
    assert (second.epoch, second.utc, second.base_time, len(second.readings)) == (EPOCH, False, 10, 2)
    assert (third.epoch, third.utc, len(third.readings)) == (EPOCH, True, 1)


def case_a_report_turns_uptimes_of_this_boot_alone_into_unix_time():
    reports = Reports()
    reports.add((10, 0), epoch=EPOCH - 1)
    reports.add((10, 0), (12, 0))
    reports.add((1700000005, 0), utc=True)
    reports.clock.answer(20000, 20000, 1700000010, 0)
    assert (reports.build(1).utc, len(reports.build(1).readings)) == (False, 1)
    report = reports.build(2)
    assert (report.utc, report.base_time) == (True, 1700000000)
    assert [each.offset for each in report.readings] == [0, 200, 500]


def case_a_report_ends_where_time_goes_back_or_too_far():
    reports = Reports()
    reports.add((100, 0), (99, 99), (754, 35), (754, 36))
    assert [len(reports.build(number).readings) for number in (1, 2, 3)] == [1, 2, 2]
    reports.add((2000, 0))
    assert len(reports.build(3).readings) == 2


def case_a_report_is_historical_as_a_whole_or_not_at_all():
    reports = Reports()
    reports.add((1, 0), (2, 0), (3, 0), (4, 0))
    old, new = reports.build(1, fresh=3), reports.build(3, fresh=3)
    assert isinstance(old, Report) and old.historical and old.last == 2
    assert not new.historical and new.last == 4


def case_a_gap_ends_where_it_is_told_to():
    reports = Reports()
    reports.add(*[(each, 0) for each in range(20)])
    reports.outbox.erase()
    gap = reports.reporter.build(LIVE, 3, 7, 0)
    assert gap == Gap(LIVE, 9, 3, 7, GAP_ERASED)
    assert reports.build(3).last == 20


def case_a_line_begins_with_a_zero_byte():
    line = Line()
    link = SerialLink(line)
    link.send(b"one")
    link.send(b"two")
    assert line.up == [b"\x00" + encode(KIND_SEALED, b"one"), encode(KIND_SEALED, b"two")]
    assert link.counters() == (0, 2, 0, 0)


def case_a_frame_broken_off_is_noise_after_a_second():
    line = Line()
    link = SerialLink(line)
    frame = encode(KIND_SEALED, b"a message")
    line.down = [frame[:5]]
    assert link.poll(0) == []
    assert link.poll(999) == [] and link.counters()[3] == 0
    assert link.poll(1000) == [] and link.counters()[3] == 5
    line.down = [frame]
    assert link.poll(1001) == [b"a message"]


def case_a_long_message_goes_in_fragments_both_ways():
    line = Line()
    link = SerialLink(line)
    message = bytes(range(256)) * 5
    link.send(message)
    reader, assembler, found = Reader(), Assembler(4), None
    for data in line.up:
        for kind, payload in reader.feed(data):
            assert kind == KIND_FRAGMENT
            found = assembler.feed(0, payload)
    assert found == message
    pieces = split(message, 300, 7)
    line.down = [encode(KIND_FRAGMENT, piece) for piece in pieces[1:]]
    line.down.append(encode(KIND_FRAGMENT, b"x"))
    line.down.append(encode(KIND_FRAGMENT, pieces[0]))
    came = []
    for _ in range(len(pieces) + 1):
        came += link.poll(5)
    assert came == [message]


def case_a_logbook_keeps_the_first_lines_and_counts_the_rest():
    book = Logbook()
    for number in range(MAX_LINES + 3):
        book.add(number * 1000, LOG_INFO, str(number))
    first = book.take()
    assert (first.text, first.lost, first.uptime) == ("0", 0, 0)
    book.add(99000, LOG_INFO, "later")
    lines = [book.take() for _ in range(MAX_LINES)]
    assert [line.text for line in lines[:-1]] == [str(number) for number in range(1, MAX_LINES)]
    assert (lines[-1].text, lines[-1].lost) == ("later", 3)
    assert book.take() is None


def case_a_log_line_that_is_too_long_is_cut_between_characters():
    book = Logbook()
    book.add(0, LOG_INFO, "\u00fc" * 300)
    line = book.take()
    assert line.text == "\u00fc" * 100 and len(line.to_bytes()) == 208
