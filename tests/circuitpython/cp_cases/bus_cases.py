"""I2C, 1-Wire and analog inputs on CircuitPython's modules (ports.py)."""

import cp_cases.rig  # noqa: F401 - puts the fake modules under the drivers
from cp_world import new_world

from fieldline_node.drivers.circuitpython.hardware import Hardware

BUS = (0, 21, 20, 100000)  # number, clock, data, Hz
ADDRESS = 0x40


def _raises(function, *arguments):
    try:
        function(*arguments)
    except OSError as error:
        return str(error)
    raise AssertionError("no error")


def case_registers_are_read_and_written():
    world = new_world()
    world.i2c[ADDRESS] = bytearray(range(64))
    bus = Hardware().i2c(BUS)
    bus.write(ADDRESS, 5, b"\xaa\xbb")
    into = bytearray(4)
    bus.read(ADDRESS, 4, into)
    assert into == b"\x04\xaa\xbb\x07"


def case_all_chips_of_a_bus_share_it():
    world = new_world()
    world.i2c = {ADDRESS: bytearray(8), ADDRESS + 1: bytearray(8)}
    hardware = Hardware()
    one, two = hardware.i2c(BUS), hardware.i2c(BUS)
    one.write(ADDRESS, 0, b"\x01")
    two.write(ADDRESS + 1, 0, b"\x02")
    assert (world.i2c[ADDRESS][0], world.i2c[ADDRESS + 1][0]) == (1, 2)


def case_a_chip_that_does_not_answer_is_an_oserror_and_may_come_back():
    world = new_world()
    world.i2c[ADDRESS] = bytearray(8)
    bus = Hardware().i2c(BUS)
    for _ in range(3):
        _raises(bus.read, ADDRESS + 1, 0, bytearray(1))
        _raises(bus.write, ADDRESS + 1, 0, b"\x00")
        bus.write(ADDRESS, 0, b"\x07")
    assert world.i2c[ADDRESS][0] == 7


def case_a_bus_without_pull_ups_is_an_oserror_until_it_has_them():
    world = new_world()
    bus = Hardware().i2c(BUS)
    assert "pull up" in _raises(bus.read, ADDRESS, 0, bytearray(1))
    world.i2c[ADDRESS] = bytearray(8)
    bus.read(ADDRESS, 0, bytearray(1))


def case_a_chip_that_holds_the_data_line_is_clocked_free():
    for pulses in (1, 5, 9):
        world = new_world()
        world.i2c[ADDRESS] = bytearray(8)
        world.i2c_busy = pulses
        Hardware().i2c(BUS).write(ADDRESS, 0, b"\x07")
        assert world.i2c[ADDRESS][0] == 7
        assert world.levels["GP20"][-2:] == [False, True]  # a stop
    world = new_world()
    world.i2c[ADDRESS] = bytearray(8)
    world.i2c_busy = 10
    bus = Hardware().i2c(BUS)
    assert "held low" in _raises(bus.write, ADDRESS, 0, b"\x07")
    assert world.in_use == {}
    world.i2c_busy = 0
    bus.write(ADDRESS, 0, b"\x07")


def case_one_wire_sends_the_lowest_bit_first():
    world = new_world()
    world.wire_bits = [1]
    wire = Hardware().one_wire(7)
    wire.reset()
    wire.write(b"\x01\xc4")
    assert world.wire_sent == [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1]
    world.wire_bits = [0, 1, 0, 1, 1, 0, 0, 1]
    into = bytearray(2)
    wire.read(into)
    assert into == b"\x9a\xff"


def case_one_wire_without_a_chip_is_an_oserror():
    new_world()
    wire = Hardware().one_wire(7)
    assert "no chip" in _raises(wire.reset)


def case_a_voltage_is_told_in_microvolts():
    world = new_world()
    source = Hardware().analog(26, 3300)
    for number, uv, end in (
        (0, 0, False),
        (32768, 1650025, False),
        (65519, 3299194, False),
        (65535, 3300000, True),
    ):
        world.analog["GP26"] = number
        assert source.read() == (uv, end), number


def case_a_pin_that_the_board_does_not_have_is_named():
    new_world()
    for pin in (99, "NOTHING"):
        try:
            Hardware().output(pin)
        except AttributeError as error:
            assert "99" in str(error) or "NOTHING" in str(error)
        else:
            raise AssertionError("no error")
