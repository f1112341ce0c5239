"""Checks of what follows what: the Will, births, rebirths, deaths, the primary host, commands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fieldline_gateway.sparkplug.actions import (
    Connect,
    DeviceCommand,
    Disconnect,
    Publish,
    Subscribe,
)
from fieldline_gateway.sparkplug.datatypes import DataType
from fieldline_gateway.sparkplug.errors import PayloadError
from fieldline_gateway.sparkplug.host import parse
from fieldline_gateway.sparkplug.payload import Metric, Payload
from tests.gateway.sparkplug.checks import for_kind, on
from tests.gateway.sparkplug.checks_messages import REBIRTH, batches
from tests.gateway.sparkplug.driver import STATE_TOPIC
from tests.gateway.sparkplug.journal import BIRTHS, DATA, Journal, Msg, Response, actions

NCMD = "spBv1.0/plant 1/NCMD/gateway 7"
DCMD = "spBv1.0/plant 1/DCMD/gateway 7/"
_FLOW = "message-flow-edge-node-birth-publish"
_DEVICE_FLOW = "message-flow-device-birth-publish"
_COMMANDS = "operational-behavior-data-commands"
_SERVERS = "operational-behavior-primary-application-state-with-multiple-servers"


# -- the Will ---------------------------------------------------------------------------------------


def _bd_seq(msg: Msg) -> Metric:
    found = [metric for metric in msg.payload.metrics if metric.name == "bdSeq"]
    assert len(found) == 1
    return found[0]


@on(f"{_FLOW}-will-message", "payloads-ndeath-will-message")
def each_connect_has_a_will(journal: Journal) -> int:
    for will in journal.wills:
        assert will.kind == "NDEATH"
    return len(journal.wills)


@on(f"{_FLOW}-will-message-payload")
def the_will_is_a_payload(journal: Journal) -> int:
    for will in journal.wills:
        assert Payload.from_bytes(will.publish.payload).metrics
    return len(journal.wills)


@on(f"{_FLOW}-will-message-qos", "payloads-ndeath-will-message-qos")
def the_will_has_qos_1(journal: Journal) -> int:
    assert all(will.publish.qos == 1 for will in journal.wills)
    return len(journal.wills)


@on(f"{_FLOW}-will-message-will-retained", "payloads-ndeath-will-message-retain")
def the_will_is_not_retained(journal: Journal) -> int:
    assert all(will.publish.retain is False for will in journal.wills)
    return len(journal.wills)


@on(f"{_FLOW}-will-message-payload-bdSeq", "topics-nbirth-bdseq-increment")
def bd_seq_counts_connects(journal: Journal) -> int:
    """From 0, by one each CONNECT, 0 again after 255."""
    for number, will in enumerate(journal.wills):
        metric = _bd_seq(will)
        assert metric.datatype == DataType.INT64
        assert metric.value == number % 256
    return len(journal.wills)


@on("topics-ndeath-payload")
def ndeath_holds_bd_seq_alone(journal: Journal) -> int:
    found = [*journal.wills, *journal.of_kind("NDEATH")]
    for msg in found:
        assert [metric.name for metric in msg.payload.metrics] == ["bdSeq"]
    return len(found)


@on("topics-ndeath-seq", "payloads-ndeath-seq")
def ndeath_has_no_seq(journal: Journal) -> int:
    found = [*journal.wills, *journal.of_kind("NDEATH")]
    assert all(msg.payload.seq is None for msg in found)
    return len(found)


@on("payloads-ndeath-bdseq")
def deaths_have_the_number_of_their_births(journal: Journal) -> int:
    born: dict[int, object] = {msg.session: _bd_seq(msg).value for msg in journal.of_kind("NBIRTH")}
    found = [msg for msg in [*journal.wills, *journal.of_kind("NDEATH")] if msg.session in born]
    for msg in found:
        assert _bd_seq(msg).value == born[msg.session]
    return len(found)


@on("topics-nbirth-bdseq-included", "payloads-nbirth-bdseq")
def nbirth_has_bd_seq(journal: Journal) -> int:
    return len([_bd_seq(msg) for msg in journal.of_kind("NBIRTH")])


@on(
    "topics-nbirth-bdseq-matching",
    "payloads-nbirth-bdseq-repeat",
    f"{_FLOW}-nbirth-payload-bdSeq",
    f"{_COMMANDS}-rebirth-action-3",
)
def nbirth_repeats_the_will(journal: Journal) -> int:
    """In each NBIRTH of the session, that of a rebirth too."""
    found = journal.of_kind("NBIRTH")
    for msg in found:
        metric = _bd_seq(msg)
        assert metric.datatype == DataType.INT64
        assert metric.value == _bd_seq(journal.wills[msg.session]).value
    return len(found)


@on("principles-persistence-clean-session-311")
def sessions_are_clean(journal: Journal) -> int:
    assert all(connect.clean_start is True for connect in journal.connects)
    return len(journal.connects)


@on("principles-persistence-clean-session-50")
def sessions_do_not_outlive_connections(journal: Journal) -> int:
    sessions_are_clean(journal)
    assert all(connect.session_expiry_s == 0 for connect in journal.connects)
    return len(journal.connects)


# -- the order of a session ---------------------------------------------------------------------------


def _events(journal: Journal, session: int, event: str) -> list[Response]:
    return [response for response in journal.by_session.get(session, []) if response.event == event]


@on(f"{_FLOW}-connect")
def births_follow_a_connack(journal: Journal) -> int:
    found = journal.of_kind(*BIRTHS)
    for msg in found:
        connected = _events(journal, msg.session, "connected")
        assert connected
        assert connected[0].at < msg.at
    return len(found)


@on("message-flow-edge-node-ncmd-subscribe", "topics-ncmd-topic")
def ncmd_is_subscribed_before_nbirth(journal: Journal) -> int:
    found = journal.of_kind("NBIRTH")
    for msg in found:
        granted = _events(journal, msg.session, "subscribed")
        filters = [
            topic
            for response in granted
            if response.at < msg.at and isinstance(response.data[0], Subscribe)
            for topic in response.data[0].filters
        ]
        assert (NCMD, 1) in filters
    return len(found)


@on("message-flow-device-dcmd-subscribe", "topics-dcmd-topic")
def dcmd_is_subscribed_before_dbirth(journal: Journal) -> int:
    found = journal.of_kind("DBIRTH")
    for msg in found:
        asked = [
            topic
            for entry in journal.entries[: msg.at]
            if isinstance(entry.action, Subscribe)
            for topic in entry.action.filters
        ]
        assert (DCMD + msg.device, 1) in asked
    return len(found)


@on("principles-birth-certificates-order")
def the_first_message_is_the_birth(journal: Journal) -> int:
    """A connection that ends before its birth has no message but the NDEATH of its end."""
    count = 0
    for responses in journal.sessions():
        kinds = [msg.kind for response in responses for msg in response.messages]
        if kinds and kinds != ["NDEATH"]:
            assert kinds[0] == "NBIRTH"
            count += 1
    return count


@on(f"{_DEVICE_FLOW}-nbirth-wait")
def dbirth_follows_nbirth(journal: Journal) -> int:
    found = journal.of_kind("DBIRTH")
    for msg in found:
        assert _begun(journal, msg.session, msg.at)
    return len(found)


@on(f"{_DEVICE_FLOW}-dbirth-match-edge-node-topic")
def dbirth_names_the_edge_node_of_nbirth(journal: Journal) -> int:
    born = {msg.session: (msg.parts[1], msg.parts[3]) for msg in journal.of_kind("NBIRTH")}
    found = journal.of_kind("DBIRTH")
    for msg in found:
        assert born[msg.session] == (msg.parts[1], msg.parts[3])
    return len(found)


@on("payloads-dbirth-order")
def dbirths_stand_between_nbirth_and_data(journal: Journal) -> int:
    """All that are there at the birth follow it at once; whatever one event brings, births come first."""
    count = 0
    for response in journal.responses:
        kinds = [msg.kind for msg in response.messages]
        if "NBIRTH" in kinds:
            there = {msg.device for msg in response.messages if msg.kind == "DBIRTH"}
            assert _heard(journal, response.at) <= there
            count += len(there)
        births = [n for n, kind in enumerate(kinds) if kind in BIRTHS]
        data = [n for n, kind in enumerate(kinds) if kind in DATA]
        assert not births or not data or max(births) < min(data)
    return count


def _heard(journal: Journal, at: int) -> set[str]:
    """Devices that the edge node was told of and not told that they are gone, before `at`."""
    there: set[str] = set()
    names = {bytes.fromhex("00a1000000000001"): ("Fan", "00a1000000000001")}
    for response in journal.responses:
        if response.at >= at:
            break
        if response.event in ("heard", "silent", "removed"):
            known = {msg.device for msg in journal.of_kind("DBIRTH")}
            device = next(iter(known & set(names.get(response.data[0], ()))), "")  # type: ignore[call-overload]
            if response.event == "heard":
                there.add(device)
            else:
                there.discard(device)
    return there


def _begun(journal: Journal, session: int, at: int) -> bool:
    """Whether the session has had an NBIRTH before that place."""
    return any(msg.session == session and msg.at < at for msg in journal.of_kind("NBIRTH"))


def data_follows_the_births(journal: Journal, kind: str) -> int:
    found = journal.of_kind(kind)
    births = journal.of_kind(*BIRTHS)
    for msg in found:
        before = [birth for birth in births if birth.session == msg.session and birth.at < msg.at]
        assert any(birth.kind == "NBIRTH" for birth in before)
        assert kind == "NDATA" or any(birth.device == msg.device for birth in before)
    return len(found)


for_kind(data_follows_the_births, "NDATA", "payloads-ndata-order")
for_kind(data_follows_the_births, "DDATA", "payloads-ddata-order")


def is_a_payload(journal: Journal, kind: str) -> int:
    found = journal.of_kind(kind)
    for msg in found:
        assert Payload.from_bytes(msg.publish.payload).metrics
    return len(found)


for_kind(is_a_payload, "NBIRTH", f"{_FLOW}-nbirth-payload")
for_kind(is_a_payload, "DBIRTH", f"{_DEVICE_FLOW}-dbirth-payload")


# -- data -----------------------------------------------------------------------------------------------


@on("topics-ddata-payload")
def every_reading_is_sent(journal: Journal) -> int:
    """What the records of an event hold is what its DDATA says, number by number."""
    count = 0
    for response, batch in batches(journal):
        assert isinstance(response, Response)
        if not _begun(journal, response.session, response.at):
            continue
        sent = set()
        for msg in response.messages:
            for metric in msg.payload.metrics if msg.kind == "DDATA" else ():
                number = metric.property("number")
                if number is not None:
                    sent.add(number.value)
        wanted = {
            number
            for stored in batch
            if stored.record.kind == 2
            for number in range(stored.record.first, stored.record.last + 1)
        }
        assert sent == wanted or _sent_twice(journal, response, wanted)
        count += len(wanted)
    return count


def _sent_twice(journal: Journal, response: Response, wanted: set[int]) -> bool:
    """Whether these numbers went out twice in this session already."""
    before = [
        metric.property("number")
        for earlier in journal.by_session[response.session]
        if earlier.at < response.at
        for msg in earlier.messages
        if msg.kind == "DDATA"
        for metric in msg.payload.metrics
    ]
    numbers = [number.value for number in before if number is not None]
    return all(numbers.count(number) >= 2 for number in wanted)


@on("topics-ndata-payload", "operational-behavior-data-publish-nbirth-change")
def ndata_says_what_has_changed(journal: Journal) -> int:
    last: dict[int | None, object] = {}
    count = 0
    for msg in journal.of_kind("NDATA"):
        assert msg.payload.metrics
        for metric in msg.payload.metrics:
            now = (metric.value, metric.properties)
            if not metric.is_historical:  # what a host may have missed is said again
                assert last.get(metric.alias) != now
                count += 1
            last[metric.alias] = now
    return count


# -- deaths ---------------------------------------------------------------------------------------------


@on("operational-behavior-device-ddeath")
def a_silent_device_has_a_ddeath(journal: Journal) -> int:
    count = 0
    for response in journal.responses:
        if response.event != "silent":
            continue
        born = _born(journal, response)
        dead = {msg.device for msg in response.messages if msg.kind == "DDEATH"}
        assert len(dead) == 1
        assert dead <= born
        count += 1
    return count


def _born(journal: Journal, response: Response) -> set[str]:
    """Devices with a DBIRTH and no DDEATH since, in the session so far."""
    born: set[str] = set()
    for msg in journal.messages:
        if msg.session == response.session and msg.at < response.at:
            if msg.kind == "DBIRTH":
                born.add(msg.device)
            if msg.kind == "DDEATH":
                born.discard(msg.device)
    return born


@on(
    "operational-behavior-edge-node-intentional-disconnect-ndeath",
    "payloads-ndeath-will-message-publisher",
    "payloads-ndeath-will-message-publisher-disconnect-mqtt311",
)
def ndeath_goes_before_disconnect(journal: Journal) -> int:
    """With the number of the session's Will."""
    count = 0
    for response in journal.responses:
        acts = actions(response)
        for at, action in enumerate(acts):
            if isinstance(action, Disconnect):
                death = acts[at - 1]
                assert at > 0
                assert isinstance(death, Publish)
                assert "/NDEATH/" in death.topic
                msg = next(msg for msg in response.messages if msg.publish is death)
                assert _bd_seq(msg).value == _bd_seq(journal.wills[response.session]).value
                count += 1
    return count


@on("operational-behavior-edge-node-intentional-disconnect-packet")
def disconnect_follows_ndeath_at_once(journal: Journal) -> int:
    count = 0
    for response in journal.responses:
        acts = actions(response)
        for at, action in enumerate(acts):
            if isinstance(action, Publish) and "/NDEATH/" in action.topic:
                assert isinstance(acts[at + 1] if at + 1 < len(acts) else None, Disconnect)
                count += 1
    return count


@on("payloads-ndeath-will-message-publisher-disconnect-mqtt50")
def disconnect_asks_for_the_will(journal: Journal) -> int:
    found = [entry.action for entry in journal.entries if isinstance(entry.action, Disconnect)]
    assert all(action.reason_code == 0x04 for action in found)
    return len(found)


# -- commands -------------------------------------------------------------------------------------------


def _asked(response: Response) -> tuple[str, list[Metric]]:
    """Topic and metrics of a message from the server; no metrics where it is no payload."""
    topic, payload = response.data
    assert isinstance(topic, str)
    assert isinstance(payload, bytes)
    try:
        return topic, list(Payload.from_bytes(payload).metrics)
    except PayloadError:
        return topic, []


def _messages_in(journal: Journal) -> Iterator[tuple[Response, str, list[Metric]]]:
    """Each command that came while a session was on."""
    online = False
    for response in journal.responses:
        kinds = [msg.kind for msg in response.messages]
        if response.event == "message" and online and response.data[0] != STATE_TOPIC:
            yield response, *_asked(response)
        online = (online or "NBIRTH" in kinds) and "NDEATH" not in kinds and response.event != "lost"


def _is_rebirth(topic: str, metrics: list[Metric]) -> bool:
    return topic == NCMD and any(
        metric.name == REBIRTH and metric.datatype == DataType.BOOLEAN and metric.value is True
        for metric in metrics
    )


@on(
    f"{_COMMANDS}-ncmd-rebirth-verb",
    f"{_COMMANDS}-ncmd-rebirth-name",
    f"{_COMMANDS}-ncmd-rebirth-value",
    f"{_COMMANDS}-ncmd-verb",
    f"{_COMMANDS}-ncmd-metric-name",
    f"{_COMMANDS}-ncmd-metric-value",
    "payloads-name-cmd-requirement",
)
def rebirth_is_asked_for_in_one_way(journal: Journal) -> int:
    """NCMD, the control's name, a Boolean true; with and without a time; nothing else does it."""
    count = 0
    for response, topic, metrics in _messages_in(journal):
        born = any(msg.kind == "NBIRTH" for msg in response.messages)
        assert born == _is_rebirth(topic, metrics)
        count += topic.startswith((NCMD, DCMD))
    return count


@on(f"{_COMMANDS}-rebirth-action-1")
def rebirth_stops_data(journal: Journal) -> int:
    count = 0
    for response, topic, metrics in _messages_in(journal):
        if _is_rebirth(topic, metrics):
            assert response.messages[0].kind == "NBIRTH"
            assert not any(msg.kind in DATA for msg in response.messages)
            count += 1
    return count


@on(f"{_COMMANDS}-rebirth-action-2")
def rebirth_is_complete(journal: Journal) -> int:
    count = 0
    for response, topic, metrics in _messages_in(journal):
        if _is_rebirth(topic, metrics):
            assert {msg.device for msg in response.messages if msg.kind == "DBIRTH"} >= _born(
                journal, response
            )
            count += 1
    return count


@on(f"{_COMMANDS}-dcmd-verb", f"{_COMMANDS}-dcmd-metric-name", f"{_COMMANDS}-dcmd-metric-value")
def controls_alone_are_written(journal: Journal) -> int:
    """A DCMD reaches the device when it names one of its controls with a value of the control's type."""
    count = 0
    for response, topic, metrics in _messages_in(journal):
        told = [(act.name, act.value) for act in actions(response) if isinstance(act, DeviceCommand)]
        wanted = [
            (metric.name, metric.value)
            for metric in metrics
            if topic == DCMD + "Fan"
            and metric.name in ("Device Control/Reboot", "Device Control/Identify")
            and isinstance(metric.value, bool)
        ]
        assert told == wanted
        count += len(told)
    return count


# -- the primary host -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """One message on a STATE topic, and what it is worth by the specification."""

    response: Response
    worth: str
    """online, offline, stale online, stale offline, foreign, malformed."""
    live: bool
    """The session was on."""
    waiting: bool
    """Subscribed, and no birth yet."""


def _said(journal: Journal) -> list[Said]:
    last: dict[str, int] = {}
    last_online: dict[str, int] = {}
    found: list[Said] = []
    server, stage = "", ""
    for response in journal.responses:
        kinds = [msg.kind for msg in response.messages]
        if response.event == "open":
            server, stage = str(response.data[0]), ""
        if response.event == "message" and "/STATE/" in str(response.data[0]):
            topic, payload = response.data
            assert isinstance(payload, bytes)
            state = parse(payload)
            if topic != STATE_TOPIC:
                worth = "foreign"
            elif state is None:
                worth = "malformed"
            elif state.online:
                worth = "stale online" if state.timestamp < last.get(server, 0) else "online"
            else:
                worth = "stale offline" if state.timestamp < last_online.get(server, 0) else "offline"
            if state is not None and worth in ("online", "offline"):
                last[server] = max(last.get(server, 0), state.timestamp)
                if state.online:
                    last_online[server] = state.timestamp
            found.append(Said(response, worth, stage == "live", stage == "waiting"))
        if response.event == "subscribed" and stage == "":
            stage = "waiting"
        if "NBIRTH" in kinds:
            stage = "live"
        if "NDEATH" in kinds or response.event == "lost":
            stage = "over"
    return found


def _births_that_no_message_allows(journal: Journal) -> int:
    """Every NBIRTH of an edge node with a primary host follows a STATE that says online; how many do."""
    said = _said(journal)
    count = 0
    for msg in journal.of_kind("NBIRTH"):
        heard = [s for s in said if s.response.session == msg.session and s.response.at < msg.at]
        counted = [s.worth for s in heard if s.worth in ("online", "offline")]
        assert counted
        assert counted[-1] == "online"
        count += 1
    return count


@on(f"{_FLOW}-phid-wait", "operational-behavior-edge-node-birth-sequence-wait")
def births_wait_for_the_host(journal: Journal) -> int:
    return _births_that_no_message_allows(journal) if journal.config.primary_host else 0


def _brings_no_birth(journal: Journal, worth: str) -> int:
    if not journal.config.primary_host:
        return 0
    found = [said for said in _said(journal) if said.worth == worth]
    for said in found:
        assert not any(msg.kind in BIRTHS for msg in said.response.messages)
    _births_that_no_message_allows(journal)
    return len(found)


@on(f"{_FLOW}-phid-wait-id")
def another_host_is_not_the_primary(journal: Journal) -> int:
    return _brings_no_birth(journal, "foreign")


@on(f"{_FLOW}-phid-wait-online")
def an_offline_host_brings_no_birth(journal: Journal) -> int:
    return _brings_no_birth(journal, "offline")


@on(f"{_FLOW}-phid-wait-timestamp")
def a_stale_online_brings_no_birth(journal: Journal) -> int:
    """And one that is not stale does, at once."""
    for said in _said(journal):
        if said.worth == "online" and said.waiting and journal.config.primary_host:
            assert any(msg.kind == "NBIRTH" for msg in said.response.messages)
    return _brings_no_birth(journal, "stale online")


@on(f"{_FLOW}-phid-offline")
def host_offline_ends_the_session(journal: Journal) -> int:
    """NDEATH and DISCONNECT at once; and while waiting too, where there is another server to go to."""
    count = 0
    for said in _said(journal):
        if said.worth == "offline" and (said.live or (said.waiting and journal.config.servers > 1)):
            acts = actions(said.response)
            assert isinstance(acts[0], Publish)
            assert "/NDEATH/" in acts[0].topic
            assert isinstance(acts[1], Disconnect)
            count += 1
    return count


@on("operational-behavior-edge-node-termination-host-offline")
def host_offline_disconnects(journal: Journal) -> int:
    found = [said for said in _said(journal) if said.live and said.worth == "offline"]
    for said in found:
        assert any(isinstance(action, Disconnect) for action in actions(said.response))
    return len(found)


@on("operational-behavior-edge-node-termination-host-offline-reconnect")
def the_next_server_is_asked_for(journal: Journal) -> int:
    found = [said for said in _said(journal) if said.live and said.worth == "offline"]
    for said in found:
        assert any(isinstance(act, Disconnect) and act.next_server for act in actions(said.response))
    return len(found)


@on("operational-behavior-edge-node-termination-host-offline-timestamp")
def a_stale_offline_changes_nothing(journal: Journal) -> int:
    found = [said for said in _said(journal) if said.worth == "stale offline"]
    for said in found:
        assert not said.response.entries
    return len(found)


@on(f"{_SERVERS}-walk")
def waiting_walks_to_the_next_server(journal: Journal) -> int:
    if journal.config.servers == 1:
        return 0
    found = [said for said in _said(journal) if said.worth == "offline" and (said.live or said.waiting)]
    for said in found:
        assert any(isinstance(act, Disconnect) and act.next_server for act in actions(said.response))
    return len(found)


@on(f"{_SERVERS}-state-subs")
def state_is_subscribed(journal: Journal) -> int:
    if not journal.config.primary_host:
        return 0
    count = 0
    for responses in journal.sessions():
        for response in responses:
            if response.event == "connected":
                filters = [
                    one for act in actions(response) if isinstance(act, Subscribe) for one in act.filters
                ]
                assert (STATE_TOPIC, 1) in filters
                count += 1
    return count


@on(f"{_SERVERS}-single-server")
def one_connection_at_a_time(journal: Journal) -> int:
    """No CONNECT before the last connection was lost."""
    on, count = False, 0
    for response in journal.responses:
        if any(isinstance(action, Connect) for action in actions(response)):
            assert not on
            on = True
            count += 1
        if response.event == "lost":
            on = False
    return count
