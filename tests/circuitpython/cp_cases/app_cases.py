"""The whole node on CircuitPython's ports: boot.py and code.py as they are, a gateway at the USB data port."""

import storage
import usb_cdc
from cp_cases.rig import (
    CUT,
    ENDED,
    ON_CPYTHON,
    RUNNING,
    CircuitPythonBoard,
    Node,
    ReleaseBoard,
    identity_file,
    run_script,
)
from cp_fat import DIRECTORY
from cp_world import PowerCut, Reset, new_world
from node_cases.bench import BOARD, FAN, OUTPUT_PIN, REFLEX_PIN, SPEED_50_HZ

from fieldline_node.drivers.circuitpython.hardware import WATCHDOG_S, Output
from fieldline_node.drivers.circuitpython.run import REPORT_MS, SYNC_AFTER_MS
from fieldline_node.outbox import Outbox
from fieldline_wire.codes import (
    ALARM,
    CMD_OUTPUT,
    CMD_PING,
    CMD_RESTART,
    HELLO_DEVELOPMENT,
    KEY_REPORT_MS,
    LIVE,
    QTY_SPEED,
    QTY_TEMPERATURE,
    RESET_FAULT,
    RESET_HARD,
    RESET_POWER_ON,
    RESET_WATCHDOG,
    RESULT_DONE,
    RESULT_FAILED,
    SENSOR_NODE,
)
from fieldline_wire.messages import Command, Config, Hello, Log, Report, Result


def spinning(node, hz=50):
    """Calls that start the fan and make every temperature another one."""

    def start():
        node.world.spin("GP5", hz)
        node.world.celsius = lambda: 20 + node.world.us // 100000 % 10000 / 100

    return (0, start)


def fast(node, ms=1000):
    """Sets the report interval that MicroPython nodes have."""
    config = Config(node.world.us // 1000 + 1, [(SENSOR_NODE, KEY_REPORT_MS, ms)])
    return (500, lambda: node.peer.send(config))


def complete(node):
    """Whether the gateway has every number without a gap."""
    return set(node.peer.readings[LIVE]) == set(range(1, node.peer.next(LIVE))) and not node.peer.gaps[LIVE]


def case_a_node_greets_and_its_readings_come_in_order():
    node = Node()
    assert node.run(200000, [spinning(node)]) == RUNNING
    peer = node.peer
    assert isinstance(peer.messages[0], Hello)
    hello = peer.messages[0]
    assert (hello.board, hello.reset_cause, hello.heap_free) == ("tested", RESET_POWER_ON, 54321)
    assert hello.flags & HELLO_DEVELOPMENT
    values = peer.values(LIVE)
    assert [number for number, _, _, _ in values] == list(range(1, len(values) + 1)) and len(values) > 350
    speeds = [value for _, sensor, quantity, value in values if (sensor, quantity) == (FAN, QTY_SPEED)]
    assert len(speeds) > 170 and all([abs(value - SPEED_50_HZ) <= SPEED_50_HZ // 40 for value in speeds])
    warm = [value for _, sensor, quantity, value in values if (sensor, quantity) == (BOARD, QTY_TEMPERATURE)]
    assert len(warm) > 170 and warm[1:] == sorted(warm[1:])
    assert peer.duplicates == 0 and peer.values(ALARM) == []


def case_a_slow_fan_is_timed_to_the_pace_of_the_loop():
    node = Node()
    node.run(70000, [spinning(node, 1.5)])
    speeds = [value for _, sensor, _, value in node.peer.values(LIVE) if sensor == FAN]
    assert len(speeds) > 40 and all([abs(value - 450) <= 18 for value in speeds[2:]]), speeds


def case_reports_go_out_once_a_minute_until_a_gateway_wants_otherwise():
    node = Node()
    minutes = 4 if ON_CPYTHON else 2
    node.run(minutes * REPORT_MS, [spinning(node)])
    slow = len(node.peer.of(Report))
    assert minutes - 1 <= slow // 10 <= minutes + 1, slow  # 120 readings are ten reports
    node = Node()
    node.run(20000, [spinning(node), fast(node)])
    assert len(node.peer.of(Report)) >= 15


def case_nothing_leaves_that_a_power_cut_could_take_back():
    node = Node()
    waiting = []
    write = usb_cdc.Serial.write

    def watched(self, buf):
        waiting.append(node.flash is not None and node.flash.waiting)
        return write(self, buf)

    usb_cdc.Serial.write = watched
    try:
        node.run(30000, [spinning(node), fast(node)])
    finally:
        usb_cdc.Serial.write = write
    assert len(waiting) > 30 and not any(waiting)


def case_a_cut_at_any_write_takes_back_nothing_that_was_said():
    for operation in range(1, 62, 6 if ON_CPYTHON else 20):
        node = Node()
        node.run(3000)  # makes the file; the fan stands still
        _cut_at(node.world, operation)
        assert node.run(40000, [spinning(node), fast(node)]) == CUT, operation
        _judge_after_a_cut(node)


def _judge_after_a_cut(node):
    node.world.volume.on_operation = None
    epoch = node.peer.epoch
    told = node.peer.next(LIVE)
    node.peer.messages = []
    assert node.run(20000, [spinning(node), fast(node)]) == RUNNING
    hello = node.peer.of(Hello)[0]
    assert node.peer.epoch > epoch
    assert next(each for each in hello.classes if each[0] == LIVE)[1] >= told
    assert complete(node) and node.peer.next(LIVE) > told + 10


def _cut_at(world, operation):
    """The power goes at the `operation`th flash write, which is torn."""
    count = []

    def cut(address, new):
        assert address != DIRECTORY, "the directory is written while the node runs"
        count.append(1)
        if len(count) == operation:
            world.volume.data[address : address + 1024] = new[:1024]
            world.volume.data[address + 1024 : address + 4096] = b"\xff" * 3072
            raise PowerCut

    world.volume.on_operation = cut


def case_without_a_host_the_readings_are_kept():
    node = Node()
    node.world.serial.open = False
    assert node.run(SYNC_AFTER_MS + 20000, [spinning(node)]) == RUNNING
    assert node.world.serial.up == []
    assert node.flash.writes <= 20, node.flash.writes
    node.world.serial.open = True
    node.run(30000, [spinning(node), fast(node)])
    readings = node.peer.readings[LIVE]
    assert complete(node)
    first = [number for number in readings if readings[number][0].epoch == 1]
    # Two sensors, once a second; the cut took what came in the last 20 s.
    assert 2 * SYNC_AFTER_MS // 1000 - 4 <= len(first) <= 2 * SYNC_AFTER_MS // 1000 + 4, len(first)


def case_an_alarm_waits_for_nothing():
    for sensor, cause in (
        (FAN, lambda world: world.spin("GP5", 0)),
        (BOARD, lambda world: setattr(world, "celsius", None)),
    ):
        node = Node()
        node.world.serial.open = False
        _stop_at_an_alarm(node, [spinning(node), (10000, lambda cause=cause, world=node.world: cause(world))])
        assert 10000000 < node.world.us < 14000000
        node.world.serial.open = True
        node.run(5000)
        assert [each[1] for each in node.peer.values(ALARM)][:1] == [sensor]
        assert node.peer.readings[ALARM][1][0].epoch == 1


def _stop_at_an_alarm(node, script):
    """Runs the node; its power goes as soon as the step is over in which it kept an alarm."""
    append = Outbox.append

    def stop_at_an_alarm(self, cls, record):
        if cls == ALARM:
            node.stop()
        return append(self, cls, record)

    Outbox.append = stop_at_an_alarm
    try:
        node.run(20000, script)
    finally:
        Outbox.append = append


def case_flash_wears_slowly_by_default():
    node = Node()
    seconds = 300 if ON_CPYTHON else 120
    node.run(seconds * 1000, [spinning(node)])
    assert node.flash.writes <= 5 + seconds // 10, node.flash.writes


def case_a_host_that_takes_nothing_costs_a_repeat():
    node = Node()

    def full(room):
        node.world.serial.room = room

    script = [spinning(node), fast(node), (10000, lambda: full(100)), (14000, lambda: full(None))]
    assert node.run(60000, script) == RUNNING
    assert complete(node) and node.peer.next(LIVE) > 100


def case_a_release_has_a_watchdog_that_bites_a_node_that_hangs():
    node = Node(ReleaseBoard)
    assert node.run(30000, [spinning(node)]) == RUNNING
    assert node.world.wdt_mode == "RESET" and node.world.wdt_timeout == WATCHDOG_S

    def hang():
        node.world.celsius = lambda: node.world.advance(9000000)

    assert node.run(30000, [(5000, hang)]) == "WATCHDOG"
    node.world.celsius = 20
    node.peer.messages = []
    assert node.run(5000, why="WATCHDOG") == RUNNING
    assert node.peer.of(Hello)[0].reset_cause == RESET_WATCHDOG
    node = Node()
    node.run(5000)
    assert node.world.wdt_mode is None


def case_an_own_fault_is_kept_and_the_node_starts_again():
    node = Node()

    def broken():
        raise ValueError("no such thing")

    def break_it():
        node.world.celsius = broken

    for _ in range(3):
        assert node.run(30000, [(2000, break_it)]) == "SOFTWARE"
        node.world.celsius = 25
    node.peer.messages = []
    assert node.run(20000, why="SOFTWARE") == RUNNING
    assert node.peer.of(Hello)[0].reset_cause == RESET_FAULT
    said = [line.text for line in node.peer.of(Log)]
    assert any(["ValueError: no such thing" in text for text in said]), said
    assert any(["safe mode" in text for text in said]), said
    assert node.peer.of(Hello)[0].sensors == []


def case_a_restart_by_command_loses_nothing():
    node = Node()
    script = [spinning(node), (20000, lambda: node.peer.send(Command(7, CMD_RESTART)))]
    assert node.run(40000, script) == "SOFTWARE"
    assert not node.flash.waiting
    assert node.peer.of(Result)[-1].status == RESULT_DONE
    node.peer.messages = []
    node.run(20000, [fast(node)], why="SOFTWARE")
    assert node.peer.of(Hello)[0].reset_cause == RESET_HARD
    first = [number for number in node.peer.readings[LIVE] if node.peer.readings[LIVE][number][0].epoch == 1]
    assert len(first) >= 38 and complete(node)


def case_a_person_gets_the_repl_of_a_development_build_alone():
    for board, outcome in ((CircuitPythonBoard, ENDED), (ReleaseBoard, RUNNING)):
        node = Node(board)
        script = [spinning(node), (10000, lambda node=node: node.world.serial.down.append(b"\x00\r\x03"))]
        assert node.run(20000, script) == outcome
        assert not node.flash.waiting or outcome == RUNNING


def case_pins_are_driven():
    node = Node()
    script = [
        spinning(node),
        (5000, lambda: node.peer.send(Command(1, CMD_OUTPUT, b"\x00\x01"))),
        (8000, lambda: node.world.spin("GP5", 0)),
    ]
    node.run(20000, script)
    assert node.world.levels[f"GP{OUTPUT_PIN}"] == [False, True]
    assert node.world.levels[f"GP{REFLEX_PIN}"] == [False, True]


def case_a_command_that_a_cut_interrupted_is_not_carried_out_again():
    node = Node()
    command = Command(1, CMD_OUTPUT, b"\x00\x01")
    carried_out = []
    drive = Output.set

    def drive_and_cut(self, level):
        drive(self, level)
        if node.world.levels.get(f"GP{OUTPUT_PIN}", [])[-1:] == [True]:
            carried_out.append(1)
            raise PowerCut

    Output.set = drive_and_cut
    try:
        script = [spinning(node), (5000, lambda: node.peer.send(command))]
        assert node.run(10000, script) == CUT
        assert node.run(20000, script) == RUNNING
    finally:
        Output.set = drive
    assert carried_out == [1]
    assert [each.status for each in node.peer.of(Result)] == [RESULT_FAILED]


def case_a_node_that_was_not_provisioned_says_so():
    for data in (None, b"", identity_file()[:-1], b"x" + identity_file()[1:]):
        node = Node()
        del node.world.volume.texts["/identity.bin"]
        if data is not None:
            node.world.volume.texts["/identity.bin"] = data
        assert node.run(5000) == ENDED
        assert node.peer.messages == []


def case_without_boot_py_the_node_tries_again():
    node = Node(ReleaseBoard)
    assert node.run(200000, boot=False) == "SOFTWARE"
    assert node.world.us >= 60000000


def case_a_file_system_that_is_the_hosts_ends_in_a_restart():
    remount = storage.remount
    storage.remount = lambda *how, **more: None
    try:
        assert Node(ReleaseBoard).run(200000) == "SOFTWARE"
        node = Node()
        asked = (30000, lambda: node.world.serial.down.append(b"\x00\r\x03"))
        assert node.run(200000, [asked]) == ENDED
    finally:
        storage.remount = remount


def case_code_py_does_not_end_in_a_prompt():
    node = Node()

    class Broken(CircuitPythonBoard):
        @property
        def DEVELOPMENT(self):
            raise MemoryError("compiling")

    node.board = Broken()
    assert node.run(60000, boot=False) == "SOFTWARE"
    assert 10000000 <= node.world.us < 20000000


def case_boot_py_gives_a_release_no_drive_and_no_console():
    for board, shown in ((CircuitPythonBoard, True), (ReleaseBoard, False)):
        node = Node(board)
        node.run(1000)
        assert node.world.volume.python_writes
        assert node.world.drive == shown
        assert (usb_cdc.console is not None) == shown
        assert usb_cdc.data is not None


def case_safe_mode_ends_by_itself_unless_it_was_asked_for():
    for reason in ("HARD_FAULT", "BROWNOUT", "FLASH_WRITE_FAIL", "WATCHDOG"):
        world = new_world()
        world.safe_mode_reason = reason
        try:
            run_script("safemode.py")
        except Reset as reset:
            assert reset.why == "SOFTWARE"
        else:
            raise AssertionError(reason)
        assert world.us >= 10000000
    new_world().safe_mode_reason = "PROGRAMMATIC"
    run_script("safemode.py")


def case_flash_that_takes_nothing_more_is_told():
    node = Node()

    def worn():
        node.world.volume.stuck = [(0, len(node.world.volume.data))]

    def whole():
        node.world.volume.stuck = []

    assert node.run(250000, [spinning(node), (65000, worn), (130000, whole)]) == RUNNING
    said = [line.text for line in node.peer.of(Log)]
    assert any(["nothing was durable" in text or "not kept" in text for text in said]), said
    assert complete(node) and node.peer.duplicates == 0


def case_a_command_is_answered():
    node = Node()
    node.run(3000, [(1000, lambda: node.peer.send(Command(3, CMD_PING)))])
    assert [(each.id, each.status) for each in node.peer.of(Result)] == [(3, RESULT_DONE)]
