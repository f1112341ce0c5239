"""A fan controller's CI: what must hold before a board leaves the house.

Run it on the emulated board (simulated), with nothing plugged in:  pytest
and on a real one, where what needs emulation is skipped:  pytest --board-kind real --board-port /dev/ttyACM0
"""

import pytest

FANS = ("fan-1", "fan-2", "fan-3", "fan-4")
FAN = FANS[0]
TURNS_HZ = 50.0  # pulses a second; two pulses a turn: 1,500 rpm


@pytest.fixture
def turning(board):
    """All fans turn. On a real board their pins are not driven from here: such a test is skipped."""
    for fan in FANS:
        board.pins.pulse(fan, TURNS_HZ)


def test_a_node_speaks_and_measures(node):
    assert node.hello().board == "pico_w"
    assert -20 < node.reading("board").value < 85, "its own temperature, in degrees Celsius"


def test_a_fan_at_50_hz_reads_1500_rpm(turning, node):
    reading = node.reading(FAN, lambda reading: abs(reading.value - 1500) <= 15)
    assert (reading.quantity, reading.unit) == ("speed", "rpm")


def test_a_power_cut_loses_nothing_that_was_accepted(board, turning, node):
    node.configure({"node.sample_ms": 100})
    with node.no_gateway():  # the readings are in the node's flash alone
        before = board.flash.operations
        board.power.cut_at(12, "half")
        board.power.lost()
        assert board.flash.operations >= before + 12
    boot = node.boot
    board.power.on()
    node.next_boot(after=boot)
    node.all_delivered()
    # The reading whose page the cut tore was not accepted yet; its number may be said to be unreadable.
    torn = sum(gap.last - gap.first + 1 for gap in node.gaps())
    assert torn <= 1, node.gaps()


def test_a_stall_moves_the_reflex_pin_and_is_an_alarm(board, turning, node):
    for fan in FANS:
        node.reading(fan, lambda reading: reading.value > 0)
    stopped = board.now()
    seen = node.last_number("alarm")
    board.pins.pulse(FAN, 0)
    board.pins.edge("reflex", 1, since=stopped)
    assert node.alarm(FAN, "stall", after=seen).value == 0
