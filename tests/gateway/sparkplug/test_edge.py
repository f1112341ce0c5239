"""What the edge node does beyond the specification's statements: its driver, its devices, its bounds."""

from __future__ import annotations

import dataclasses
import json

import pytest

from fieldline_gateway.records import ALARM, LIVE, Position
from fieldline_gateway.sparkplug.actions import (
    Commit,
    Connect,
    Disconnect,
    Ping,
    Publish,
    Rewind,
    SaveBdSeq,
    SaveCatalogue,
    Subscribe,
    Unsubscribe,
)
from fieldline_gateway.sparkplug.config import Confirm, EdgeConfig
from fieldline_gateway.sparkplug.devices import Known
from fieldline_gateway.sparkplug.edge import EdgeNode
from fieldline_gateway.sparkplug.errors import UsageError
from fieldline_gateway.sparkplug.outflow import FILTERS_A_SUBSCRIBE
from fieldline_gateway.sparkplug.payload import Metric, Payload
from fieldline_gateway.sparkplug.session import TABLE, Do, Event, Session, State
from fieldline_wire.messages import Hello
from tests.gateway.sparkplug.driver import (
    HOST,
    NODE_A,
    NODE_B,
    STATE_TOPIC,
    STREAM,
    T0,
    Driver,
    state,
)

CONFIG = EdgeConfig("plant 1", "gateway 7")


def online(config: EdgeConfig = CONFIG, **more: object) -> Driver:
    driver = Driver(config, **more)  # type: ignore[arg-type]
    driver.connect()
    assert driver.edge.state is State.ONLINE
    return driver


def last(driver: Driver, kind: str) -> Payload:
    return driver.payloads(kind)[-1]


def named(driver: Driver, kind: str, name: str) -> Metric:
    return next(metric for metric in last(driver, kind).metrics if metric.name == name)


# -- the session ---------------------------------------------------------------------------------------


def test_the_number_is_kept_before_the_connect_that_uses_it() -> None:
    driver = Driver(last_bd_seq=255)
    actions = driver.give("open", "a")
    assert [type(action) for action in actions] == [SaveBdSeq, Connect]
    assert driver.saved_bd_seq == 0


@pytest.mark.parametrize("bad", [-1, 256])
def test_a_number_that_was_never_kept(bad: int) -> None:
    with pytest.raises(UsageError, match="bdSeq"):
        EdgeNode(CONFIG, bad)


def test_a_driver_out_of_step_is_told_so() -> None:
    driver = online()
    with pytest.raises(UsageError, match="OPEN while ONLINE"):
        driver.give("open", "a")
    with pytest.raises(UsageError, match="CONNECTED"):
        driver.give("connected")


def test_the_table_leaves_no_state_without_a_way_out() -> None:
    for at in State:
        if at is not State.OFFLINE:
            assert TABLE[at, Event.LOST] == (State.OFFLINE, Do.FORGET)
    reached = {State.OFFLINE} | {target for target, _ in TABLE.values()}
    assert reached == set(State)


def test_what_is_not_in_the_table_changes_nothing() -> None:
    for at in State:
        for event in Event:
            session = Session()
            session.state = at
            if (at, event) not in TABLE and event not in (Event.OPEN, Event.CONNECTED):
                assert session.feed(event) is None
                assert session.state is at


@pytest.mark.parametrize("topic", ["NCMD", "NDATA"])
def test_a_refused_subscription_ends_the_session_and_says_which(topic: str) -> None:
    driver = Driver()
    driver.refuse = {f"spBv1.0/plant 1/{topic}/gateway 7"}
    driver.connect()
    assert driver.disconnected is not None
    assert topic in driver.disconnected.why
    assert driver.edge.status()["left_because"] == driver.disconnected.why
    assert not driver.published("NBIRTH")


def test_a_refused_device_subscription_costs_only_its_commands() -> None:
    driver = Driver()
    driver.give("heard", NODE_A)
    driver.refuse = {f"spBv1.0/plant 1/DCMD/gateway 7/{NODE_A.hex()}"}
    driver.connect()
    assert driver.edge.state is State.ONLINE
    assert driver.edge.status()["subscriptions_refused"] == 1


def test_many_devices_are_subscribed_in_parts() -> None:
    nodes = [n.to_bytes(8, "big") for n in range(1, 2 * FILTERS_A_SUBSCRIBE + 2)]
    driver = online(catalogue=[Known(node, ()) for node in nodes])
    asked = [entry.action for entry in driver.log if isinstance(entry.action, Subscribe)]
    assert [len(action.filters) for action in asked] == [2, FILTERS_A_SUBSCRIBE, FILTERS_A_SUBSCRIBE, 1]
    assert len(driver.published("NBIRTH")) == 1


def test_a_stop_before_the_connack_has_no_session_to_end() -> None:
    driver = Driver()
    driver.give("open", "a")
    assert [type(action) for action in driver.give("stop")] == [Disconnect]
    driver.drop()
    assert driver.give("stop") == []


def test_events_after_the_end_bring_nothing() -> None:
    driver = online()
    driver.give("stop")
    before = len(driver.published())
    driver.host_asks_for_rebirth()
    driver.give("heard", NODE_A)
    driver.give("poll")
    driver.give("records", [driver.store.report(driver.now, NODE_A)])
    assert len(driver.published()) == before
    assert driver.edge.wait_ms(driver.now) is None


def test_a_server_that_confirms_nothing_is_given_up() -> None:
    for confirm in Confirm:
        driver = online(dataclasses.replace(CONFIG, confirm=confirm))
        driver.confirms = False
        driver.store.report(driver.now, NODE_A)
        driver.feed()
        driver.wait(30_999)
        assert driver.disconnected is None
        driver.wait(1)
        assert driver.disconnected is not None
        assert "confirmed nothing" in driver.disconnected.why
        assert driver.disconnected.next_server


def test_a_pong_to_a_keep_alive_confirms_nothing_by_echo() -> None:
    driver = online()
    driver.confirms = False
    driver.store.report(driver.now, NODE_A)
    driver.feed()
    driver.wait(1_000)
    assert driver.give("pong") == []
    assert driver.edge.status()["records_unsettled"] == 1


def test_a_mark_that_was_never_sent_confirms_nothing() -> None:
    driver = online(dataclasses.replace(CONFIG, settle_ms=0))
    driver.confirms = False
    driver.store.report(driver.now, NODE_A)
    driver.feed()
    driver.wait(1_000)
    mark = last(driver, "NDATA").metrics[0]
    topic = driver.published("NDATA")[-1].topic
    forged = Metric(alias=mark.alias, timestamp=T0, datatype=4, value=99, declare=False)
    assert driver.say(topic, Payload(T0, (forged,), 9).to_bytes()) == []
    assert driver.say(topic, b"\xff") == []
    driver.confirm()
    assert driver.store.committed == {LIVE: 1}


def test_with_pings_each_mark_brings_one() -> None:
    driver = online(dataclasses.replace(CONFIG, confirm=Confirm.PING, settle_ms=0))
    driver.store.report(driver.now, NODE_A)
    driver.feed()
    driver.wait(1_000)
    kinds = [type(entry.action) for entry in driver.log if entry.action is not None]
    assert kinds[-3:] == [Publish, Ping, Commit]
    subscribed = [
        topic
        for entry in driver.log
        if isinstance(entry.action, Subscribe)
        for topic, _ in entry.action.filters
    ]
    assert not any("NDATA" in topic for topic in subscribed)


def test_the_window_stops_the_flow_until_the_server_confirms() -> None:
    driver = online(dataclasses.replace(CONFIG, window=8))
    driver.confirms = False
    for n in range(40):
        driver.store.report(driver.now, NODE_A, [n], time_ms=T0 + n)
    driver.feed(1)
    assert len(driver.payloads("DDATA")) == 8
    assert not driver.edge.wants_records
    driver.wait(0)
    driver.confirm()
    assert driver.edge.wants_records


# -- the host -------------------------------------------------------------------------------------------


def test_a_host_with_a_new_session_gets_what_it_may_have_missed() -> None:
    driver = Driver(dataclasses.replace(CONFIG, primary_host=HOST))
    driver.retained[STATE_TOPIC] = state(True, T0)
    driver.connect()
    driver.store.report(driver.now, NODE_A, [1, 2])
    driver.feed()
    assert driver.say(STATE_TOPIC, state(True, T0)) == [], "the same session said again"
    assert driver.say(STATE_TOPIC, state(True, T0 + 1)) == [Rewind()]
    driver.feed()
    again = last(driver, "DDATA")
    assert all(metric.is_historical for metric in again.metrics)
    assert driver.edge.status()["records_resent"] == 1


def test_with_one_server_the_node_stays_until_its_host_comes() -> None:
    driver = Driver(dataclasses.replace(CONFIG, primary_host=HOST))
    driver.retained[STATE_TOPIC] = state(False, T0)
    driver.connect()
    driver.wait(86_400_000)
    assert driver.disconnected is None
    assert driver.edge.wait_ms(driver.now) is None
    assert not driver.published("NBIRTH")
    driver.say(STATE_TOPIC, state(True, T0 + 1))
    assert driver.edge.state is State.ONLINE


def test_state_that_comes_before_the_suback_is_remembered() -> None:
    driver = Driver(dataclasses.replace(CONFIG, primary_host=HOST))
    driver.give("open", "a")
    driver.log.clear()
    driver.edge.connected(driver.now)
    driver.say(STATE_TOPIC, state(True, T0))
    assert not driver.published("NBIRTH")
    driver.give("subscribed", Subscribe((("spBv1.0/plant 1/NCMD/gateway 7", 1),)))
    assert driver.edge.state is State.ONLINE


def test_with_two_servers_silence_of_the_host_is_enough_to_go() -> None:
    driver = Driver(dataclasses.replace(CONFIG, primary_host=HOST, servers=2))
    driver.connect()
    assert driver.edge.wait_ms(driver.now) == 10_000
    driver.wait(10_000)
    assert driver.disconnected is not None
    assert driver.disconnected.next_server


def test_a_control_may_be_written_by_its_alias() -> None:
    driver = online()
    driver.give("heard", NODE_A)
    alias = named(driver, "DBIRTH", "Device Control/Identify").alias
    topic = f"spBv1.0/plant 1/DCMD/gateway 7/{NODE_A.hex()}"
    good = Metric(alias=alias, datatype=11, value=True, declare=False)
    driver.say(topic, Payload(T0, (good,)).to_bytes())
    assert [command.name for command in driver.commands] == ["Device Control/Identify"]
    bad = Metric(alias=alias, datatype=12, value="yes", declare=False)
    nothing = Metric(alias=alias, datatype=11, is_null=True)
    driver.say(topic, Payload(T0, (bad, nothing)).to_bytes())
    assert len(driver.commands) == 1
    assert driver.edge.status()["writes_refused"] == 2


def test_what_is_for_others_brings_nothing() -> None:
    driver = online()
    before = driver.edge.status()
    assert driver.say("spBv1.0/plant 1/NCMD/gateway 8", b"") == []
    again = Subscribe((("spBv1.0/plant 1/NCMD/gateway 7", 1),))
    assert driver.give("subscribed", again, ()) == [], "a second SUBACK"
    assert driver.edge.status() == before


# -- devices ---------------------------------------------------------------------------------------------


def test_a_device_is_born_by_its_first_record_and_dies_by_silence() -> None:
    driver = online()
    driver.store.report(driver.now, NODE_A)
    driver.feed()
    assert [publish.topic.split("/")[2] for publish in driver.published()] == ["NBIRTH", "DBIRTH", "DDATA"]
    driver.give("silent", NODE_A)
    assert driver.give("silent", NODE_A) == [], "once"
    assert len(driver.published("DDEATH")) == 1
    driver.give("heard", NODE_A)
    assert len(driver.published("DBIRTH")) == 2
    assert driver.give("silent", NODE_B) == [], "never heard of"


def test_the_backlog_of_a_silent_device_is_sent_and_the_device_dies_again() -> None:
    driver = online()
    driver.give("heard", NODE_A)
    driver.give("silent", NODE_A)
    driver.store.report(driver.now, NODE_A, received_ms=T0 - 1)
    driver.feed()
    assert all(metric.is_historical for metric in last(driver, "DDATA").metrics)
    deaths = len(driver.published("DDEATH"))
    driver.wait(9_999)
    assert len(driver.published("DDEATH")) == deaths
    driver.wait(1)
    assert len(driver.published("DDEATH")) == deaths + 1


def test_only_devices_that_are_there_are_born_with_a_session() -> None:
    driver = Driver(catalogue=[Known(NODE_A, ((0, 1),)), Known(NODE_B, ())])
    driver.give("heard", NODE_B)
    driver.connect()
    assert [publish.topic.rsplit("/", 1)[1] for publish in driver.published("DBIRTH")] == [NODE_B.hex()]


def test_a_removed_device_is_forgotten() -> None:
    driver = online()
    driver.store.report(driver.now, NODE_A)
    driver.feed()
    actions = driver.give("removed", NODE_A)
    assert [type(action) for action in actions] == [Publish, Unsubscribe, SaveCatalogue]
    assert driver.catalogue == ()
    assert driver.give("removed", NODE_A) == []
    driver.host_asks_for_rebirth()
    assert len(driver.published("DBIRTH")) == 1


def test_names_that_cannot_be_used_are_replaced_by_the_node_id() -> None:
    names = {NODE_A: "pump/1", NODE_B: NODE_A.hex()}
    driver = online(name_of=lambda node: names[node])
    driver.give("heard", NODE_B)
    driver.give("heard", NODE_A)
    devices = [publish.topic.rsplit("/", 1)[1] for publish in driver.published("DBIRTH")]
    assert devices == [NODE_A.hex(), NODE_A.hex() + "_"], "a name that looks like another's id is found out"
    assert driver.edge.status()["names_refused"] == 1


def test_a_new_metric_of_a_born_device_brings_a_rebirth_before_its_data() -> None:
    driver = online()
    driver.store.report(driver.now, NODE_A, sensor=0)
    driver.feed()
    driver.store.report(driver.now, NODE_A, sensor=1)
    driver.feed()
    kinds = [publish.topic.split("/")[2] for publish in driver.published()]
    assert kinds == ["NBIRTH", "DBIRTH", "DDATA", "NBIRTH", "DBIRTH", "DDATA"]
    driver.store.report(driver.now, NODE_A, sensor=1)
    driver.feed()
    assert driver.edge.status()["rebirths"] == 1


def test_the_catalogue_spares_the_next_start_its_rebirths() -> None:
    driver = online()
    for sensor in range(3):
        driver.store.report(driver.now, NODE_A, sensor=sensor)
    driver.feed()
    assert driver.catalogue == (Known(NODE_A, ((0, 1), (1, 1), (2, 1))),)
    again = online(catalogue=[*driver.catalogue, Known(NODE_B, ((0, 250),))])
    for sensor in range(3):
        again.store.report(again.now, NODE_A, sensor=sensor)
        again.feed()
    assert again.edge.status()["rebirths"] == 0
    assert named(again, "DBIRTH", "Sensor 2/speed").is_null


def test_a_birth_has_units_and_the_newest_values() -> None:
    driver = online()
    driver.store.report(driver.now, NODE_A, [100])
    driver.store.report(driver.now, NODE_A, [300], time_ms=T0 - 60_000, received_ms=T0 - 1)
    driver.feed()
    driver.host_asks_for_rebirth()
    speed = named(driver, "DBIRTH", "Sensor 0/speed")
    assert speed.value == 10.0, "an older value is not the current one"
    told = {key: prop.value for key, prop in speed.properties}
    assert told == {"class": "live", "stream": STREAM, "number": 1, "engUnit": "rpm"}


# -- data ------------------------------------------------------------------------------------------------


def test_late_is_what_came_before_the_session_or_waited_too_long() -> None:
    driver = online()
    for received in (T0 - 1, T0):
        driver.store.report(driver.now, NODE_A, received_ms=received, time_ms=received)
    driver.feed()
    assert [metric.is_historical for metric in last(driver, "DDATA").metrics] == [True, False]
    driver.store.report(driver.now, NODE_A, historical=True)
    driver.feed()
    assert last(driver, "DDATA").metrics[0].is_historical, "the node says so"
    driver.store.report(driver.now, NODE_A)
    driver.wait(60_001)
    driver.feed()
    assert last(driver, "DDATA").metrics[0].is_historical


def test_health_is_sent_when_it_changes() -> None:
    driver = online()
    for uptime in (1, 1, 2):
        driver.store.other(driver.now, NODE_A, Hello(STREAM, uptime=uptime))
        driver.feed()
        driver.wait(10)
    assert [len(payload.metrics) for payload in driver.payloads("DDATA")] == [4, 1]


def test_messages_are_cut_by_number_and_by_size() -> None:
    driver = online(dataclasses.replace(CONFIG, max_metrics=10))
    driver.store.report(driver.now, NODE_A, list(range(25)))
    driver.feed()
    assert [len(payload.metrics) for payload in driver.payloads("DDATA")] == [10, 10, 5]
    driver = online(dataclasses.replace(CONFIG, max_payload=2048))
    for _ in range(4):
        driver.store.report(driver.now, NODE_A, list(range(40)))
    driver.feed()
    sizes = [len(publish.payload) for publish in driver.published("DDATA")]
    assert max(sizes) <= 2048
    assert len(sizes) > 4
    numbers = [m.property("number") for payload in driver.payloads("DDATA") for m in payload.metrics]
    assert [prop.value for prop in numbers if prop is not None] == list(range(1, 161))


def test_batches_of_all_classes_are_settled_each_to_its_own_place() -> None:
    driver = online()
    driver.store.report(driver.now, NODE_A, cls=ALARM)
    driver.store.report(driver.now, NODE_A)
    driver.store.report(driver.now, NODE_B)
    driver.feed()
    driver.wait(61_000)
    commits = [entry.action for entry in driver.log if isinstance(entry.action, Commit)]
    assert commits == [Commit(Position(ALARM, 1)), Commit(Position(LIVE, 2))]


def test_records_that_say_nothing_move_the_cursor_too() -> None:
    driver = online(dataclasses.replace(CONFIG, settle_ms=0))
    stored = driver.store.other(driver.now, NODE_A, Hello(STREAM))
    driver.store.logs[LIVE][0] = stored._replace(record=stored.record._replace(kind=0x2A, payload=b"\x2a"))
    driver.feed()
    driver.wait(1_000)
    assert driver.store.committed == {LIVE: 1}
    assert not driver.published("DBIRTH")


def test_an_idle_node_is_silent() -> None:
    driver = online()
    driver.store.report(driver.now, NODE_A)
    driver.feed()
    driver.wait(61_000)
    before = len(driver.published())
    assert driver.edge.wait_ms(driver.now) is None
    driver.wait(86_400_000)
    assert len(driver.published()) == before


def test_status_is_plain_json() -> None:
    driver = online()
    driver.store.report(driver.now, NODE_A)
    driver.feed()
    told = json.loads(json.dumps(driver.edge.status()))
    assert (told["state"], told["devices_born"], told["records_unsettled"]) == ("online", 1, 1)
