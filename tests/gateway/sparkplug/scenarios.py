"""What the edge node lives through in these tests: each scenario is a whole story and gives its driver.

Rules: together they bring about everything that the checks look at; a check that finds nothing fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fieldline_gateway.records import ALARM, TIME_ARRIVAL
from fieldline_gateway.sparkplug.config import Confirm, EdgeConfig
from fieldline_gateway.sparkplug.datatypes import DataType
from fieldline_gateway.sparkplug.payload import Metric
from fieldline_wire import codes
from fieldline_wire.messages import Config, Gap, Hello, Log, Result
from tests.gateway.sparkplug.driver import (
    HOST,
    NODE_A,
    NODE_B,
    NODE_C,
    REBIRTH,
    STATE_TOPIC,
    STREAM,
    T0,
    Driver,
    command,
    state,
)

NCMD = "spBv1.0/plant 1/NCMD/gateway 7"
DCMD = "spBv1.0/plant 1/DCMD/gateway 7"
NAMES = {NODE_A: "Fan", NODE_B: "fan", NODE_C: "pump/3"}
"""Two that differ by case alone, one that can be no id: node ids stand in for the last two."""


def plain() -> Driver:
    """No primary host: data of all kinds, a rebirth, commands, a lost connection, an orderly end."""
    driver = Driver(EdgeConfig("plant 1", "gateway 7", max_metrics=20), name_of=lambda node: NAMES[node])
    driver.give("heard", NODE_A)
    driver.connect()
    hello = Hello(
        STREAM,
        codes.RESET_WATCHDOG,
        codes.SLOT_A,
        12,
        50_000,
        board="pico_w",
        firmware="0.1.0",
        battery_mv=3701,
    )
    driver.store.other(driver.now, NODE_A, hello)
    driver.store.report(driver.now, NODE_A, [-30, 0, 120_000])
    driver.feed()
    driver.wait(2_000)
    driver.store.report(driver.now, NODE_A, [2150], quantity=2, sensor=1, flags=codes.READING_SATURATED)
    alert = codes.READING_RAISED | codes.CAUSE_OVER << codes.CAUSE_SHIFT
    driver.store.report(driver.now, NODE_B, [990], cls=ALARM, quantity=1, flags=alert)
    driver.store.report(driver.now, NODE_B, [7], quantity=200, quality=TIME_ARRIVAL)
    driver.store.other(driver.now, NODE_B, Gap(1, STREAM, 40, 55, codes.GAP_DROPPED))
    driver.store.damage(driver.now, 9, 11)
    driver.store.other(driver.now, NODE_A, Config(4, [], reported=True))
    driver.store.other(driver.now, NODE_A, Result(77, codes.RESULT_DONE, b"\x01"))
    driver.store.other(driver.now, NODE_A, Log(codes.LOG_WARNING, "low battery", 2, 99))
    driver.store.report(driver.now, NODE_B, [5, 6], time_ms=T0 - 90_000_000, historical=True)
    driver.store.report(driver.now, NODE_B, [1, 2, 3], step=0)
    driver.store.report(driver.now, NODE_B, [8], time_ms=driver.now.utc_ms - 5_000)
    driver.feed()
    _commands(driver)
    for n in range(10):
        driver.store.report(driver.now, NODE_A, [n])
        driver.feed()
        driver.wait(50)
    driver.give("silent", NODE_B)
    driver.wait(100_000)
    driver.say(NCMD, REBIRTH)
    driver.feed()
    driver.store.report(driver.now, NODE_A, [41])
    driver.wait(5_000)
    driver.drop()
    driver.wait(60_000)
    driver.store.report(driver.now, NODE_C, [42])
    driver.connect()
    driver.feed()
    driver.store.other(driver.now, NODE_A, hello)
    driver.feed()
    driver.wait(20_000)
    driver.give("removed", NODE_B)
    driver.give("removed", NODE_A)
    driver.give("stop")
    driver.drop()
    return driver


def long_run() -> Driver:
    """So many messages and so many connections that seq and bdSeq begin anew."""
    driver = Driver()
    driver.connect()
    for n in range(300):
        driver.store.report(driver.now, NODE_A, [n])
        driver.feed()
        driver.wait(50)
    driver.wait(100_000)
    driver.drop()
    for _ in range(260):
        driver.give("open", "a")
        driver.drop()
    driver.connect()
    return driver


def _commands(driver: Driver) -> None:
    """What a host may send, well and ill."""
    bool_true = Metric("Node Control/Rebirth", None, T0, DataType.BOOLEAN, True)
    driver.say(NCMD, command(bool_true))
    driver.say(NCMD, command(Metric("Node Control/Rebirth", None, None, DataType.BOOLEAN, True)))
    driver.say(NCMD, command(Metric("Node Control/Rebirth", None, T0, DataType.BOOLEAN, False)))
    driver.say(NCMD, command(Metric("Node Control/Rebirth", None, T0, DataType.INT32, 1)))
    driver.say(NCMD, command(Metric("Node Control/Reboot", None, T0, DataType.BOOLEAN, True)))
    driver.say(NCMD, b"\xff\xff\xff")
    driver.say(f"{NCMD}/more", command(bool_true))
    fan = f"{DCMD}/Fan"
    driver.say(fan, command(bool_true))
    driver.say(fan, command(Metric("Device Control/Reboot", None, T0, DataType.BOOLEAN, True)))
    driver.say(fan, command(Metric("Device Control/Identify", None, None, DataType.BOOLEAN, True)))
    driver.say(fan, command(Metric("Device Control/Identify", None, T0, DataType.STRING, "yes")))
    driver.say(fan, command(Metric("Sensor 0/speed", None, T0, DataType.DOUBLE, 1.0)))
    driver.say(f"{DCMD}/nobody", command(Metric("Device Control/Reboot", None, T0, DataType.BOOLEAN, True)))


def primary_host() -> Driver:
    """One server, a primary host that comes, goes and sends what is stale."""
    config = EdgeConfig("plant 1", "gateway 7", primary_host=HOST, confirm=Confirm.PING)
    driver = Driver(config)
    driver.give("heard", NODE_A)
    driver.connect()
    driver.say("spBv1.0/STATE/other", state(True, T0 + 1))
    driver.say(STATE_TOPIC, b"ONLINE")
    driver.say(STATE_TOPIC, state(False, T0 + 10))
    driver.say(STATE_TOPIC, state(True, T0 + 5))
    driver.wait(60_000)
    driver.say(STATE_TOPIC, state(True, T0 + 20))
    driver.store.report(driver.now, NODE_A, [1, 2, 3])
    driver.feed()
    driver.wait(2_000)
    driver.say(STATE_TOPIC, state(False, T0 + 19))
    driver.say(STATE_TOPIC, state(True, T0 + 20))
    driver.store.report(driver.now, NODE_A, [4])
    driver.feed()
    driver.say(STATE_TOPIC, state(True, T0 + 30))
    driver.feed()
    driver.wait(3_000)
    driver.retained[STATE_TOPIC] = state(False, T0 + 30)
    driver.say(STATE_TOPIC, driver.retained[STATE_TOPIC])
    driver.drop()
    driver.wait(5_000)
    driver.connect()
    driver.say(STATE_TOPIC, state(True, T0 + 25))
    driver.say(STATE_TOPIC, state(True, T0 + 40))
    driver.feed()
    driver.wait(200_000)
    driver.give("stop")
    driver.drop()
    return driver


def two_servers() -> Driver:
    """Two servers: the edge node follows its host from one to the other."""
    driver = Driver(EdgeConfig("plant 1", "gateway 7", primary_host=HOST, servers=2))
    driver.give("heard", NODE_A)
    driver.retained[STATE_TOPIC] = state(False, T0)
    driver.connect("a")
    assert driver.disconnected is not None
    driver.drop()
    driver.retained[STATE_TOPIC] = state(True, T0 - 500)
    driver.connect("b")
    driver.store.report(driver.now, NODE_A, [1, 2])
    driver.feed()
    driver.wait(1_000)
    driver.say(STATE_TOPIC, state(False, T0 - 500))
    driver.drop()
    driver.retained.clear()
    driver.connect("a")
    driver.wait(30_000)
    assert driver.disconnected is not None
    driver.drop()
    driver.retained[STATE_TOPIC] = state(True, T0 + 900)
    driver.connect("b")
    driver.feed()
    driver.wait(100_000)
    return driver


@dataclass(frozen=True)
class Scenario:
    name: str
    play: Callable[[], Driver]
    short: bool = True
    """Worth spoiling: what the long one has more is only length."""


SCENARIOS = [
    *(Scenario(play.__name__, play) for play in (plain, primary_host, two_servers)),
    Scenario(long_run.__name__, long_run, short=False),
]
