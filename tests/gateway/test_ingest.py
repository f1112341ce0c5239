"""The rules of the gateway on a store whose disk says when it is done."""

from __future__ import annotations

from collections import deque

import pytest

from fieldline_gateway.errors import StoreHeld
from fieldline_gateway.ingest.came import Moment
from fieldline_gateway.ingest.downlinks import BUSY_S, HOLD_S
from fieldline_gateway.ingest.refusals import ADVICE, LOG_INTERVAL_MS
from fieldline_gateway.ingest.rules import CLONE_MS, Ingest
from fieldline_gateway.records import (
    ALARM,
    BULK,
    GAP_STREAM_ENDED,
    KIND_CONFIG,
    KIND_GAP,
    KIND_HELLO,
    KIND_LOG,
    KIND_REPORT,
    KIND_RESULT,
    LIVE,
    TIME_ARRIVAL,
    TIME_MAPPED,
    TIME_NODE,
    Position,
    Record,
)
from fieldline_gateway.registry import Command
from fieldline_wire.messages import (
    ACK_GO_ON,
    ACK_HOLD,
    ACK_UNKNOWN_STREAM,
    HELLO_WANTS_TIME,
    Ack,
    Config,
    Gap,
    Log,
    Report,
    Result,
    TimeSync,
    decode,
)
from fieldline_wire.messages import Command as CommandMessage
from tests.fakes.gateway_node import OTHER_KEY, FakeNode, settled

UTC = 1_790_000_000_000


class FakeStore:
    """Takes records; sync() puts them on the disk."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.held: str | None = None
        self._waiting: deque[Position] = deque()
        self._next = [1, 1, 1]

    def append(self, record: Record) -> Position:
        if self.held:
            raise StoreHeld("held by the test", self.held)
        self.records.append(record)
        position = Position(record.cls, self._next[record.cls])
        self._next[record.cls] += 1
        self._waiting.append(position)
        return position

    def sync(self, ingest: Ingest) -> None:
        for cls in (ALARM, LIVE, BULK):
            seqs = [position.seq for position in self._waiting if position.cls == cls]
            if seqs:
                ingest.durable(Position(cls, max(seqs)))
        self._waiting.clear()


class Site:
    """Ingest with its store and its nodes, and a clock."""

    def __init__(self, *nodes: FakeNode) -> None:
        self.store = FakeStore()
        self.ingest = Ingest(self.store, gateway=0xCAFE, run=3)
        self.ingest.set_nodes(node.enrolled() for node in nodes)
        self.ms = 0

    def hears(self, *sealed: bytes, link: str = "tty0") -> None:
        for one in sealed:
            self.ms += 1
            self.ingest.receive(Moment(UTC + self.ms, self.ms), link, one)

    def syncs(self) -> None:
        self.store.sync(self.ingest)

    def refused(self) -> dict[str, int]:
        return {kind: count for kind, count in self.ingest.refusals.counts.items() if count}

    def numbers(self, kind: int = KIND_REPORT) -> list[tuple[int, int]]:
        return [(record.first, record.last) for record in self.store.records if record.kind == kind]


@pytest.fixture
def node() -> FakeNode:
    return FakeNode()


@pytest.fixture
def site(node: FakeNode) -> Site:
    return Site(node)


# --- the promise


def test_an_ack_goes_out_after_the_disk_and_not_before(site: Site, node: FakeNode) -> None:
    site.hears(node.report(1, 3))
    assert site.numbers() == [(1, 3)]
    assert node.hear(site.ingest.downlinks.take()) == []
    site.syncs()
    ack = node.acks(site.ingest.downlinks.take())[LIVE]
    assert (ack.next, ack.status, ack.stream, ack.ranges) == (4, ACK_GO_ON, 7, [])


def test_one_ack_for_all_that_became_durable_together(site: Site, node: FakeNode) -> None:
    site.hears(node.report(1, 3), node.report(4, 3), node.report(1, cls=ALARM))
    site.syncs()
    heard = node.hear(site.ingest.downlinks.take())
    assert sorted((ack.cls, ack.next) for ack in heard if isinstance(ack, Ack)) == [(ALARM, 2), (LIVE, 7)]


def test_a_repeat_is_acknowledged_again_and_stored_once(site: Site, node: FakeNode) -> None:
    site.hears(node.report(1, 3))
    site.hears(node.report(1, 3))  # repeated before it is on disk: no ack yet
    assert node.hear(site.ingest.downlinks.take()) == []
    site.syncs()
    site.ingest.downlinks.take()
    site.hears(node.report(1, 3))
    assert node.acks(site.ingest.downlinks.take())[LIVE].next == 4
    assert site.numbers() == [(1, 3)]


def test_of_a_report_that_overlaps_only_the_new_readings_are_stored(site: Site, node: FakeNode) -> None:
    site.hears(node.report(3, 2), node.report(1, 7))
    assert site.numbers() == [(3, 4), (1, 2), (5, 7)]
    last = decode(site.store.records[-1].payload)
    assert isinstance(last, Report)
    assert [(reading.value, reading.offset) for reading in last.readings] == [(5, 40), (6, 50), (7, 60)]


def test_what_comes_before_its_turn_waits_and_is_not_acknowledged(site: Site, node: FakeNode) -> None:
    site.hears(node.report(1), node.report(5, 2), node.report(3))
    site.syncs()
    assert node.acks(site.ingest.downlinks.take())[LIVE].next == 2
    assert site.numbers() == [(1, 1)]
    site.hears(node.gap(2, 2))
    assert [(record.first, record.last) for record in site.store.records] == [(1, 1), (2, 2), (3, 3)]
    site.hears(node.report(4))
    site.syncs()
    assert site.numbers() == [(1, 1), (3, 3), (4, 4), (5, 6)]
    assert node.acks(site.ingest.downlinks.take())[LIVE].next == 7


def test_what_waits_is_bounded_and_the_node_is_asked_for_what_it_still_has(
    site: Site, node: FakeNode
) -> None:
    site.hears(node.report(1))
    site.syncs()
    site.ingest.downlinks.take()
    for number in range(10, 30):
        site.hears(node.report(number))
    (ack,) = node.acks(site.ingest.downlinks.take()).values()
    assert ack.status == ACK_UNKNOWN_STREAM
    assert len(site.ingest.states[node.id].current()[LIVE].waiting) == 5
    site.hears(node.hello([(LIVE, 30, 10)]), node.report(10))
    assert site.numbers() == [(1, 1), (10, 10), (11, 11), (12, 12), (13, 13), (14, 14)]


def test_a_gap_below_what_the_node_still_has_is_stored_when_it_comes(site: Site, node: FakeNode) -> None:
    site.hears(node.report(1), node.hello([(LIVE, 9, 5)]), node.report(5), node.gap(2, 4))
    site.syncs()
    assert site.numbers(KIND_GAP) == [(2, 4)]
    assert node.acks(site.ingest.downlinks.take())[LIVE].next == 6


def test_a_gateway_new_to_a_node_claims_nothing_below_what_it_has(site: Site, node: FakeNode) -> None:
    site.hears(node.hello([(LIVE, 60, 50)]), node.report(50, 3))
    site.syncs()
    ack = node.acks(site.ingest.downlinks.take())[LIVE]
    assert (ack.next, ack.ranges) == (1, [(50, 52)])


def test_classes_and_nodes_are_counted_apart() -> None:
    one, two = FakeNode(1), FakeNode(2, key=OTHER_KEY)
    site = Site(one, two)
    site.hears(one.report(1, cls=ALARM), one.report(1, cls=BULK), two.report(1))
    assert [(record.node, record.cls) for record in site.store.records] == [
        (one.id, ALARM),
        (one.id, BULK),
        (two.id, LIVE),
    ]


def test_what_the_window_needs_after_a_restart_stands_in_the_record(site: Site, node: FakeNode) -> None:
    node.counter = 41
    site.hears(node.report(1))
    assert (site.store.records[0].epoch, site.store.records[0].counter) == (1, 41)


# --- gaps and streams


def test_a_gap_is_stored_and_acknowledged_like_readings(site: Site, node: FakeNode) -> None:
    site.hears(node.gap(1, 100), node.report(101))
    site.syncs()
    assert node.acks(site.ingest.downlinks.take())[LIVE].next == 102
    assert site.numbers(KIND_GAP) == [(1, 100)]
    site.hears(node.gap(50, 120))
    assert site.numbers(KIND_GAP) == [(1, 100), (102, 120)]


def test_a_report_of_an_unknown_stream_asks_for_a_hello(site: Site, node: FakeNode) -> None:
    site.hears(node.report(1))
    node.stream = 8
    site.hears(node.report(1))
    ack = node.acks(site.ingest.downlinks.take())[LIVE]
    assert (ack.status, ack.stream, ack.next) == (ACK_UNKNOWN_STREAM, 8, 0)
    assert len(site.store.records) == 1


def test_a_new_stream_turns_what_is_missing_of_the_old_one_into_gaps(site: Site, node: FakeNode) -> None:
    site.hears(node.hello([(ALARM, 1, 1), (LIVE, 12, 1)]), node.report(1, 3))
    site.hears(node.hello([(LIVE, 12, 6)]), node.report(6, 2))
    node.reboot()
    node.stream = 8
    site.hears(node.hello())
    gaps = [decode(record.payload) for record in site.store.records if record.kind == KIND_GAP]
    assert [(gap.cls, gap.stream, gap.first, gap.last, gap.reason) for gap in gaps] == [
        (LIVE, 7, 4, 5, GAP_STREAM_ENDED),
        (LIVE, 7, 8, 11, GAP_STREAM_ENDED),
    ]
    site.hears(node.report(1))
    site.syncs()
    ack = node.acks(site.ingest.downlinks.take())[LIVE]
    assert (ack.stream, ack.next) == (8, 2)


def test_what_an_earlier_gateway_had_is_no_gap_of_an_ended_stream(site: Site, node: FakeNode) -> None:
    site.hears(node.hello([(LIVE, 60, 50)]), node.report(50, 10))
    node.stream = 8
    site.hears(node.hello())
    assert site.numbers(KIND_GAP) == []


def test_an_ended_stream_does_not_come_back(site: Site, node: FakeNode) -> None:
    site.hears(node.report(1))
    node.stream = 8
    site.hears(node.hello())
    node.stream = 7
    before = len(site.store.records)
    site.hears(node.report(2), node.hello())
    assert site.refused() == {"ended-stream": 2}
    assert len(site.store.records) == before


def test_a_stream_ends_only_when_its_gaps_could_be_stored(site: Site, node: FakeNode) -> None:
    site.hears(node.report(1), node.hello([(LIVE, 4, 3)]), node.report(3))
    node.stream = 8
    site.store.held = "full"
    site.hears(node.hello())
    assert node.hear(site.ingest.downlinks.take()) != []
    site.store.held = None
    site.hears(node.hello())
    assert site.numbers(KIND_GAP) == [(2, 2)]


def test_numbers_with_too_many_holes_are_refused(site: Site, node: FakeNode) -> None:
    for number in range(2, 200, 2):
        site.hears(node.hello([(LIVE, number + 1, number)]), node.report(number))
    assert len(site.numbers()) == 64
    assert site.refused() == {"too-sparse": 35}
    site.syncs()
    ack = node.acks(site.ingest.downlinks.take())[LIVE]
    assert len(ack.ranges) == 16 and ack.ranges[-1] == (128, 128)
    site.hears(node.report(1))  # closes a hole
    assert len(site.numbers()) == 65


# --- the store is held


@pytest.mark.parametrize(("reason", "seconds"), [("full", HOLD_S), ("busy", BUSY_S)])
def test_a_held_store_asks_the_node_to_wait_and_acknowledges_nothing(
    site: Site, node: FakeNode, reason: str, seconds: int
) -> None:
    site.hears(node.report(1))
    site.syncs()
    site.ingest.downlinks.take()
    site.store.held = reason
    site.hears(node.report(2))
    ack = node.acks(site.ingest.downlinks.take())[LIVE]
    assert (ack.next, ack.status, ack.hold) == (2, ACK_HOLD, seconds)
    site.store.held = None
    site.hears(node.report(2))
    site.syncs()
    ack = node.acks(site.ingest.downlinks.take())[LIVE]
    assert (ack.next, ack.status) == (3, ACK_GO_ON)


# --- what else a node says


def test_a_hello_is_answered_with_time_an_ack_for_each_class_and_the_desired_config(
    site: Site, node: FakeNode
) -> None:
    desired = Config(5, [(0xFF, 1, 500)])
    site.ingest.orders.set_desired({node.id: (5, desired.to_bytes())})
    site.hears(node.hello(flags=HELLO_WANTS_TIME, uptime=100, config_version=4))
    heard = node.hear(site.ingest.downlinks.take())
    time = next(message for message in heard if isinstance(message, TimeSync))
    assert (time.uptime_ms, time.seconds * 1000 + time.ms) == (100_000, UTC + 1)
    assert [ack.cls for ack in heard if isinstance(ack, Ack)] == [ALARM, LIVE, BULK]
    assert [config for config in heard if isinstance(config, Config)] == [desired]
    assert site.store.records[0].kind == KIND_HELLO
    site.hears(node.hello(config_version=5))
    assert desired in node.hear(site.ingest.downlinks.take()), "it has them; its answer was lost on the way"
    site.hears(node.seal(Config(5, [(0xFF, 1, 500)], reported=True).to_bytes()))
    site.hears(node.hello(config_version=5))
    assert not any(isinstance(message, Config) for message in node.hear(site.ingest.downlinks.take()))


def test_commands_go_down_with_a_hello_until_they_have_a_result(site: Site, node: FakeNode) -> None:
    site.ingest.orders.set_commands(
        [Command(9, node.id, 3, b"\x05", UTC + 60_000), Command(10, node.id, 1, b"", UTC)]
    )
    site.hears(node.hello())
    said = [m for m in node.hear(site.ingest.downlinks.take()) if isinstance(m, CommandMessage)]
    assert [(command.id, command.code, command.argument, command.ttl) for command in said] == [
        (9, 3, b"\x05", 59)
    ]
    site.hears(node.seal(Result(9, 1).to_bytes()))  # taken, in progress
    assert site.ingest.results == []
    site.hears(node.seal(Result(9, 0, b"ok").to_bytes()), node.seal(Result(9, 0, b"ok").to_bytes()))
    assert site.ingest.results == [(node.id, 9, 0, b"ok")]
    assert len(site.numbers(KIND_RESULT)) == 3
    site.hears(node.hello())
    assert not any(isinstance(m, CommandMessage) for m in node.hear(site.ingest.downlinks.take()))


def test_log_lines_and_reported_settings_are_stored(site: Site, node: FakeNode) -> None:
    site.hears(node.seal(Log(20, "hello").to_bytes()), node.seal(Config(3, reported=True).to_bytes()))
    assert [(record.kind, record.cls) for record in site.store.records] == [
        (KIND_LOG, BULK),
        (KIND_CONFIG, LIVE),
    ]
    assert site.ingest.states[node.id].config_version == 3


def test_a_time_sync_is_answered_and_an_unset_clock_says_nothing(site: Site, node: FakeNode) -> None:
    site.hears(node.seal(TimeSync(1234).to_bytes()))
    (answer,) = node.hear(site.ingest.downlinks.take())
    assert isinstance(answer, TimeSync) and answer.answer and answer.uptime_ms == 1234
    site.ingest.receive(Moment(1000, 0), "tty0", node.seal(TimeSync(1).to_bytes()))
    assert node.hear(site.ingest.downlinks.take()) == []


def test_a_message_of_a_later_version_is_skipped_and_counted(site: Site, node: FakeNode) -> None:
    site.hears(node.seal(b"\x2ffuture"))
    assert site.ingest.unknown_types == 1 and site.refused() == {}


# --- time


def test_uptime_is_mapped_to_utc_when_the_boot_is_known(site: Site, node: FakeNode) -> None:
    site.hears(node.report(1, base_time=50))
    site.hears(node.hello(uptime=100))
    site.hears(node.report(2, base_time=90))
    node.reboot()
    site.hears(node.hello(uptime=5))
    site.hears(node.report(3, base_time=95, epoch=1, historical=True))
    site.hears(node.report(4, base_time=95, epoch=0))
    site.hears(node.report(5, base_time=1_790_000_000, utc=True))
    found = [(r.time_ms, r.time_quality) for r in site.store.records if r.kind == KIND_REPORT]
    assert found[0] == (UTC + 1, TIME_ARRIVAL)
    assert found[1] == (UTC + 2 - 100_000 - 500 + 90_000, TIME_MAPPED)
    assert found[2] == (UTC + 2 - 100_000 - 500 + 95_000, TIME_MAPPED)
    assert found[3] == (UTC + 6, TIME_ARRIVAL)
    assert found[4] == (1_790_000_000_000, TIME_NODE)


def test_a_time_sync_maps_finer_and_over_the_wrap_of_its_counter(site: Site, node: FakeNode) -> None:
    wrap = 1 << 32
    site.hears(node.hello(uptime=(wrap + 5000) // 1000))
    site.hears(node.seal(TimeSync(5300).to_bytes()), node.report(1, base_time=10))
    assert site.store.records[-1].time_ms == UTC + 2 - (wrap + 5300) + 10_000


def test_a_node_whose_clock_was_never_set_gives_no_utc(site: Site, node: FakeNode) -> None:
    site.hears(node.report(1, 3, base_time=1000, utc=True))
    record = site.store.records[0]
    assert (record.time_ms, record.time_quality) == (UTC + 1 - 200, TIME_ARRIVAL)


# --- hostile input: counted by kind, never forwarded, never answered


def test_noise_and_every_truncation_of_a_message_are_refused(site: Site, node: FakeNode) -> None:
    sealed = node.report(1)
    for size in range(len(sealed)):
        site.hears(sealed[:size])
    for at in range(len(sealed)):
        site.hears(sealed[:at] + bytes([sealed[at] ^ 0x10]) + sealed[at + 1 :])
    site.hears(b"", b"\xff" * 200)
    assert site.store.records == [] and node.hear(site.ingest.downlinks.take()) == []
    assert set(site.refused()) <= {"malformed", "wrong-key", "unknown-node", "unexpected"}
    assert sum(site.refused().values()) == 2 * len(sealed) + 2
    site.hears(sealed)
    assert len(site.store.records) == 1


def test_a_wrong_key_an_unknown_node_and_a_revoked_one_are_refused(node: FakeNode) -> None:
    revoked, stranger = FakeNode(2), FakeNode(3)
    site = Site(node)
    site.ingest.set_nodes([revoked.enrolled(revoked=True)])
    impostor = FakeNode(1, key=OTHER_KEY)
    site.hears(impostor.report(1), revoked.report(1), stranger.report(1))
    assert site.refused() == {"wrong-key": 1, "revoked": 1, "unknown-node": 1}
    assert site.store.records == []


def test_a_key_number_that_is_not_the_enrolled_one_is_refused(node: FakeNode) -> None:
    site = Site()
    site.ingest.set_nodes([node.enrolled(key_number=1)])
    site.hears(node.report(1))
    assert site.refused() == {"wrong-key": 1}


def test_a_replay_is_refused_whenever_it_comes(site: Site, node: FakeNode) -> None:
    recorded = [node.report(number) for number in range(1, 101)]
    site.hears(*recorded)
    before = len(site.store.records)
    site.hears(*recorded)
    node.reboot()
    site.hears(node.report(101))
    site.hears(recorded[0], recorded[-1])
    assert len(site.store.records) == before + 1
    assert sum(site.refused().values()) == 102 and "wrong-key" not in site.refused()


def test_an_authentic_message_with_broken_content_is_refused(site: Site, node: FakeNode) -> None:
    site.hears(node.seal(b""), node.seal(b"\x02\x00"), node.seal(b"\x01" + bytes(3)))
    assert site.refused() == {"bad-message": 3}


def test_what_only_a_gateway_sends_is_refused(site: Site, node: FakeNode) -> None:
    for message in (Ack(LIVE, 7, 1), Config(1), CommandMessage(1, 1), TimeSync(1, True, 2, 3)):
        site.hears(node.seal(message.to_bytes()))
    site.hears(node.hello())
    site.hears(*(downlink.sealed for downlink in site.ingest.downlinks.take()))  # echoed back
    assert site.refused() == {"unexpected": 4 + 3}


def test_a_clone_on_another_link_is_told_from_a_replay(site: Site, node: FakeNode) -> None:
    """Two devices with one key: each boot of one makes the other's counters old, yet both keep speaking."""
    clone = FakeNode()
    node.epoch = 5
    clone.epoch = 4
    site.hears(node.report(1), link="tty0")
    site.hears(clone.report(1), link="tty1")
    assert site.refused() == {"clone": 1}
    clone.epoch, clone.counter = 6, 0
    site.hears(clone.report(2), link="tty1")
    site.hears(node.report(3), link="tty0")
    assert site.refused() == {"clone": 2}
    assert site.numbers() == [(1, 1), (2, 2)]


def test_a_clone_that_uses_the_same_counter_with_other_content(site: Site, node: FakeNode) -> None:
    clone = FakeNode()
    sealed = node.report(1)
    site.hears(sealed, sealed, clone.report(2))
    assert site.refused() == {"replay": 1, "clone": 1}


def test_a_clone_on_the_same_link_shows_by_its_counters_that_go_on(site: Site, node: FakeNode) -> None:
    clone = FakeNode()
    node.epoch = 9
    site.hears(node.report(1))
    site.ms += CLONE_MS
    site.hears(*(clone.report(number) for number in range(1, 6)))
    assert site.refused() == {"replay": 2, "clone": 3}


def test_a_flood_is_logged_once_a_minute_for_each_kind(
    site: Site, node: FakeNode, caplog: pytest.LogCaptureFixture
) -> None:
    impostor = FakeNode(1, key=OTHER_KEY)
    for _ in range(100):
        site.hears(impostor.report(1), b"noise")
    lines = [record for record in caplog.records if record.getMessage().startswith("refused-")]
    assert sorted(line.getMessage() for line in lines) == ["refused-malformed", "refused-wrong-key"]
    assert all(line.fields["what_to_do"] for line in lines)  # type: ignore[attr-defined]
    site.ms += LOG_INTERVAL_MS
    site.hears(b"noise")
    assert sum(record.getMessage() == "refused-malformed" for record in caplog.records) == 2
    assert all(ADVICE.values())


def test_a_node_enrolled_anew_speaks_with_its_new_key(site: Site, node: FakeNode) -> None:
    site.hears(node.report(1))
    node.key = OTHER_KEY
    node.epoch = node.counter = 0  # its flash was wiped
    site.hears(node.report(2))
    assert site.refused() == {"wrong-key": 1}
    site.ingest.set_nodes([node.enrolled()])
    site.hears(node.report(2))
    site.syncs()
    assert settled(node.acks(site.ingest.downlinks.take())[LIVE], 1, 2)


def test_gap_message_is_a_wire_gap(site: Site, node: FakeNode) -> None:
    site.hears(node.gap(1, 4, reason=2))
    gap = decode(site.store.records[0].payload)
    assert isinstance(gap, Gap) and (gap.first, gap.last, gap.reason) == (1, 4, 2)
