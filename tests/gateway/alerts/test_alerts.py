"""Alerts: raised and cleared with a margin, in the book before anybody is told, told once in effect over kills."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from fieldline_gateway.alerts.book import MAX_EVENTS, Book
from fieldline_gateway.alerts.config import Filter, Limits, NotifyConfig
from fieldline_gateway.alerts.deliver import Delivery
from fieldline_gateway.alerts.model import MAX_LINES, Clear, Event, Message, Raise
from fieldline_gateway.alerts.notify import Mail, Mqtt, NotifyError, Webhook
from fieldline_gateway.alerts.watch import Scene, Watch, alarms
from fieldline_gateway.errors import UsageError
from fieldline_gateway.ingest.node import NodeState
from fieldline_gateway.mqtt.address import Address
from fieldline_gateway.mqtt.listener import Listener
from fieldline_gateway.records import ALARM, KIND_REPORT, TIME_NODE, Record, StoredRecord
from fieldline_gateway.sinks.mqtt_config import MqttConfig
from fieldline_harness.mosquitto import free_port
from fieldline_wire.messages import CAUSE_SHIFT, READING_CLEARED, READING_RAISED, Reading, Report
from tests.fakes.gateway_node import FakeNode

UTC = 1_790_000_000_000
SILENT = Raise("node-silent", "0102030405060708", "nothing heard", "fan")


class Peer:
    """Takes messages; fails as often as it is told, before it took or after."""

    def __init__(self) -> None:
        self.got: list[Message] = []
        self.refuse = 0

    async def deliver(self, message: Message) -> None:
        if self.refuse:
            self.refuse -= 1
            raise NotifyError("the uplink is gone")
        self.got.append(message)


def book(folder: Path, *names: str) -> Book:
    found = Book(folder / "alerts.db")
    found.open("book", names or ("mail",))
    return found


async def direct(work: Callable[..., Any], *arguments: object) -> Any:
    return work(*arguments)


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


async def told(
    of: Book, peer: Peer, until: Callable[[], bool], *, per_hour: int = 100, wants: Filter | None = None
) -> Time:
    clock = Time()
    config = NotifyConfig("mail", "mail", peer, wants or Filter("info"), per_hour)
    delivery = Delivery(config, of, "site", direct, clock, clock.sleep)
    task = asyncio.create_task(delivery.run())
    async with asyncio.timeout(20):
        while not until():
            delivery.wake()
            await asyncio.sleep(0)
    task.cancel()
    return clock


async def test_the_alert_of_a_night_without_uplink_arrives_in_the_morning_once(tmp_path: Path) -> None:
    of, peer = book(tmp_path), Peer()
    peer.refuse = 50
    assert of.apply([SILENT], UTC) == 1
    of.close()
    of = book(tmp_path)  # the gateway was restarted in the night
    clock = await told(of, peer, lambda: bool(peer.got))
    assert clock.now > 6 * 3600
    (message,) = peer.got
    assert message.subject == "[site] WARNING node-silent fan: raised"
    await told(of, peer, lambda: of.notifier("mail") == {"waiting": 0, "delivered": 1, "lost": 0})
    assert len(peer.got) == 1


async def test_a_kill_between_sending_and_the_cursor_repeats_the_same_message_under_the_same_key(
    tmp_path: Path,
) -> None:
    of, peer = book(tmp_path), Peer()
    of.apply([SILENT], UTC)
    of.begin("mail", 1, 1)  # and then it was killed, the peer has it or not
    of.apply([Clear("node-silent", SILENT.subject)], UTC + 1)
    of.close()
    of = book(tmp_path)
    await told(of, peer, lambda: len(peer.got) == 2)
    assert [(message.key, len(message.events)) for message in peer.got] == [
        ("book.mail.1-1", 1),
        ("book.mail.2-2", 1),
    ]


async def test_what_comes_faster_than_the_rate_goes_as_a_digest_and_nothing_is_left_out(
    tmp_path: Path,
) -> None:
    of, peer = book(tmp_path), Peer()
    of.apply([replace(SILENT, subject=f"{n:016x}") for n in range(300)], UTC)
    await told(of, peer, lambda: sum(len(each.events) for each in peer.got) == 300, per_hour=2)
    assert len(peer.got) <= 5
    assert [event.seq for each in peer.got for event in each.events] == list(range(1, 301))


async def test_a_site_that_falls_silent_is_a_few_messages_with_the_worst_on_top(tmp_path: Path) -> None:
    of, peer = book(tmp_path), Peer()
    of.apply([replace(SILENT, subject=f"{n:016x}") for n in range(3000)], UTC)
    of.apply([Raise("store-held", "site", "disk full")], UTC)
    await told(of, peer, lambda: sum(len(each.events) for each in peer.got) == 3001, per_hour=12)
    assert len(peer.got) == 2, "and no hours of mails"
    lines = peer.got[1].text.splitlines()
    assert "store-held site: disk full" in lines[0] and len(lines) == MAX_LINES + 1
    assert lines[-1] == "and 901 more: node-silent raised"


async def test_a_filter_leaves_out_what_it_says_and_the_cursor_goes_on(tmp_path: Path) -> None:
    of, peer = book(tmp_path), Peer()
    of.apply([SILENT, Raise("clone", "aa", "two"), Raise("store-held", "site", "held")], UTC)
    wants = Filter("critical", ("clone",))
    await told(of, peer, lambda: of.notifier("mail")["waiting"] == 0, wants=wants)
    assert [each.events[0].alert["kind"] for each in peer.got] == ["clone"]
    globs = Filter("info", (), ("fan*",))
    assert globs.wants(
        Event(1, "raised", {"kind": "node-silent", "severity": "info", "subject": "x", "name": "fan-1"})
    )
    assert not globs.wants(
        Event(1, "raised", {"kind": "clone", "severity": "critical", "subject": "x", "name": ""})
    )


def test_raise_clear_raise_again_acknowledge(tmp_path: Path) -> None:
    of = book(tmp_path)
    assert of.apply([SILENT, SILENT], UTC) == 1
    (alert,) = of.alerts(True, 10)
    who = {"by": "olga", "via": "page", "at_ms": UTC, "note": "on my way"}
    assert of.acknowledge([alert["id"]], who) == [alert["id"]] and of.acknowledge([alert["id"]], who) == []
    with pytest.raises(UsageError, match="there is no alert 99"):
        of.acknowledge([99], who)
    with pytest.raises(UsageError, match="clears by itself"):
        of.clear_by_hand(alert["id"], UTC)
    of.close()
    of = book(tmp_path)
    assert of.alerts(True, 10)[0]["acknowledged"] == who and of.counts() == (1, 0)
    assert of.apply([Clear("node-silent", SILENT.subject)], UTC + 10) == 1
    assert of.apply([SILENT], UTC + 20) == 1
    (again,) = of.alerts(True, 10)
    assert (again["id"], again["times"]) == (alert["id"], 2)
    of.apply([Clear("node-silent", SILENT.subject)], UTC + 30)
    of.apply([SILENT], UTC + 10_000_000)
    assert of.alerts(True, 10)[0]["id"] != alert["id"] and len(of.alerts(False, 10)) == 2


def test_the_place_in_the_log_moves_with_the_alert_or_not_at_all(tmp_path: Path) -> None:
    of = book(tmp_path)
    with pytest.raises(KeyError):
        of.apply([SILENT, Raise("nonsense", "x", "y")], UTC, cursor=7)
    assert of.alerts(False, 10) == [] and of.meta("cursor") is None
    of.apply([SILENT], UTC, cursor=7)
    assert of.meta("cursor") == "7"


def test_a_notifier_that_is_gone_for_ever_loses_the_oldest_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fieldline_gateway.alerts.book.MAX_EVENTS", 20)
    of = book(tmp_path)
    for n in range(30):
        of.apply([Raise("node-silent", str(n), "x")], UTC)
    assert of.notifier("mail") == {"waiting": 20, "delivered": 0, "lost": 10} and of.unsaid("mail") == 10
    assert MAX_EVENTS == 10_000


# --- real peers

MESSAGE = Message(
    "book.mail.1-1",
    "site",
    (Event(1, "raised", {"id": 1, "kind": "clone", "severity": "critical", "subject": "aa", "name": "fan\r\nBcc: x@y",
                         "text": "two devices", "changed_ms": UTC}),),
)  # fmt: skip


class Mailbox:
    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.refuse = False

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:
        if self.refuse:
            return "451 come later"
        self.mails.append(envelope)
        return "250 taken"


async def test_a_mail_server_gets_one_mail_with_its_own_message_id_and_no_forged_header() -> None:
    box = Mailbox()
    port = free_port()
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    try:
        mail = Mail("127.0.0.1", port, "gw@example.com", ("ops@example.com",), "none")
        box.refuse = True
        with pytest.raises(NotifyError, match="451"):
            await mail.deliver(MESSAGE)
        box.refuse = False
        await mail.deliver(MESSAGE)
        (envelope,) = box.mails
        text = envelope.content.decode()
        assert "Message-ID: <book.mail.1-1@example.com>" in text and "\nBcc:" not in text
        assert envelope.rcpt_tos == ["ops@example.com"] and "two devices" in text
    finally:
        server.stop()


async def test_a_webhook_is_signed_and_only_2xx_is_delivered() -> None:
    got: list[tuple[dict[str, str], bytes]] = []
    codes = [500, 302, 200]

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((dict(self.headers), body))
            self.send_response(codes.pop(0))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        hook = Webhook(
            f"http://127.0.0.1:{server.server_port}/a?b=c", b"s3cret", (("Authorization", "Bearer t0ken"),)
        )
        for code in ("500", "302"):
            with pytest.raises(NotifyError, match=code) as error:
                await hook.deliver(MESSAGE)
            assert "s3cret" not in str(error.value) and "t0ken" not in str(error.value)
        await hook.deliver(MESSAGE)
    finally:
        server.shutdown()
        server.server_close()
    headers, body = got[-1]
    assert (
        headers["X-Fieldline-Signature"] == "sha256=" + hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    )
    assert {each["Idempotency-Key"] for each, _ in got} == {"book.mail.1-1"}
    assert json.loads(body)["events"][0]["alert"]["kind"] == "clone"
    assert "s3cret" not in repr(hook) and "t0ken" not in repr(hook)


async def test_a_broker_gets_a_message_an_event_and_a_dead_one_is_an_error() -> None:
    async with Listener("127.0.0.1", 0) as listener:
        address = Address("127.0.0.1", listener.port)
        notifier = Mqtt(MqttConfig(address, "alerts"), "f/{gateway}/alerts/{kind}")
        many = replace(MESSAGE, events=tuple(replace(MESSAGE.events[0], seq=n) for n in range(1, 51)))
        import paho.mqtt.client as paho

        got: list[tuple[str, Any]] = []
        client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        client.on_message = lambda *words: got.append((words[2].topic, json.loads(words[2].payload)))
        ready = threading.Event()
        client.on_connect = lambda *_: client.subscribe("f/#", 1)
        client.on_subscribe = lambda *_: ready.set()
        client.connect_async("127.0.0.1", listener.port)
        client.loop_start()
        await asyncio.to_thread(ready.wait, 20)
        await notifier.deliver(many)
        async with asyncio.timeout(20):
            while len(got) < 50:
                await asyncio.sleep(0.02)
        await asyncio.to_thread(client.loop_stop)
        client.disconnect()
        assert [body["key"] for _, body in got] == [f"book.mail.{n}" for n in range(1, 51)]
        assert {topic for topic, _ in got} == {"f/site/alerts/clone"}
    with pytest.raises(NotifyError):
        await notifier.deliver(MESSAGE)


# --- what raises and clears

STORE: dict[str, Any] = {"bytes": 10, "max_bytes": 100, "held": None, "counters": {}}


def scene(mono_s: float = 0, **changed: Any) -> Scene:
    plain: dict[str, Any] = dict(
        utc_ms=UTC + int(mono_s * 1000), mono_ms=int(mono_s * 1000), nodes={}, speaks_s={}, silent_ms=750_000,
        store=STORE, sinks=[], clones={}, odd={}, limited={}, flood=False, strangers=0,
    )  # fmt: skip
    return Scene(**{**plain, **changed})


class Watching:
    def __init__(self, limits: Limits | None = None) -> None:
        self.watch = Watch(limits or Limits(), "site", 0, ())

    def __call__(self, *words: Any, **changed: Any) -> list[tuple[str, str]]:
        changes = self.watch.look(scene(*words, **changed))
        self.watch.took(changes)
        return [(type(change).__name__, change.kind) for change in changes]


def test_a_node_is_silent_by_a_clock_that_never_steps() -> None:
    look, state = Watching(), NodeState(FakeNode().enrolled())
    state.heard_ms = UTC - 86_400_000  # a day ago by the wall clock: this gateway was off
    assert look(0, nodes={state.node.id: state}) == [] and look(700, nodes={state.node.id: state}) == []
    assert (
        look(751, nodes={state.node.id: state}) == [("Raise", "node-silent")]
        and look(752, nodes={state.node.id: state}) == []
    )
    state.heard_ms = 5  # it spoke, and the wall clock went back
    assert look(753, nodes={state.node.id: state}) == [("Clear", "node-silent")]
    assert look(753 + 61, nodes={state.node.id: state}, speaks_s={state.node.id: 5.0}) == [
        ("Raise", "node-silent")
    ]


@pytest.mark.parametrize(
    ("name", "bad", "between", "good"),
    [
        ("store-full", {"store": {**STORE, "bytes": 85}}, {"store": {**STORE, "bytes": 80}}, {}),
        ("store-held", {"store": {**STORE, "held": "full"}}, None, {}),
        ("quarantine-flood", {"flood": True}, None, {}),
        ("certificate-ending", {"certificates": {"a.pem": UTC + 86_400_000 * 5}},
         {"certificates": {"a.pem": UTC + 86_400_000 * 30 + 80_000_000}},
         {"certificates": {"a.pem": UTC + 86_400_000 * 300}}),
    ],
)  # fmt: skip
def test_raise_and_clear_with_a_margin(
    name: str, bad: dict[str, Any], between: dict[str, Any] | None, good: dict[str, Any]
) -> None:
    look = Watching()
    if between is not None:
        assert look(**between) == []
    assert look(**bad) == [("Raise", name)] and look(**bad) == []
    if between is not None:
        assert look(**between) == []
    assert look(**good) == [("Clear", name)]
    assert Watching(Limits(off=frozenset({name})))(**bad) == []


def test_a_sink_is_behind_after_a_while_and_well_when_it_has_caught_up() -> None:
    look = Watching()
    bad = [{"sink": "json", "lag": 5, "connected": False, "last_error": "refused"}]
    assert look(0, sinks=bad) == [] and look(119, sinks=bad) == []
    assert look(120, sinks=bad) == [("Raise", "sink-behind")]
    assert look(130, sinks=[{"sink": "json", "lag": 5000, "connected": True}]) == []
    assert look(140, sinks=[{"sink": "json", "lag": 10, "connected": True}]) == [("Clear", "sink-behind")]


def test_readings_that_went_unread_raise_when_the_counter_rises_and_not_at_the_start() -> None:
    look = Watching()
    lost = {**STORE, "counters": {"evicted-bulk": 5, "evicted-bulk-segments": 1}}
    assert look(0, store=lost) == []
    assert look(1, store={**STORE, "counters": {"evicted-bulk": 9}}) == [("Raise", "readings-lost")]
    assert look(4000, store={**STORE, "counters": {"evicted-bulk": 9}}) == [("Clear", "readings-lost")]


def test_a_fan_that_turned_and_stands_still_is_told_from_its_readings() -> None:
    look, state = Watching(), NodeState(FakeNode().enrolled())
    state.heard_ms = UTC

    def reads(value: int, at_s: float) -> list[tuple[str, str]]:
        state.heard_ms += 1
        state.readings[1, 1] = (value, UTC + int(at_s * 1000))
        return look(at_s, nodes={state.node.id: state})

    assert reads(0, 0) == [] and reads(0, 100) == [], "it never turned: switched off, or not built in"
    assert reads(1500, 101) == [] and reads(0, 102) == [] and reads(0, 131) == []
    assert reads(0, 132) == [("Raise", "fan-stalled")]
    assert reads(1500, 140) == [("Clear", "fan-stalled")]


def test_a_nodes_own_alarms_raise_and_clear() -> None:
    def record(*flags: int) -> StoredRecord:
        readings = [Reading(0, 1, 1, flag, 0) for flag in flags]
        payload = Report(ALARM, 7, 1, readings=readings, base_time=60, epoch=1).to_bytes()
        return StoredRecord(
            1, Record(ALARM, KIND_REPORT, bytes(8), 7, 1, 1, 1, 1, UTC, TIME_NODE, UTC, payload)
        )

    stall, over = 1 << CAUSE_SHIFT, 2 << CAUSE_SHIFT
    found = alarms([record(READING_RAISED | stall, READING_CLEARED | stall, READING_RAISED | over)], {})
    assert [(type(change).__name__, change.kind) for change in found] == [
        ("Raise", "fan-stalled"), ("Clear", "fan-stalled"), ("Raise", "node-alarm"),
    ]  # fmt: skip
