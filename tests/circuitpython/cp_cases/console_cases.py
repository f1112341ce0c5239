"""The USB data port, where a host does what hosts do."""

import usb_cdc
from cp_world import Holder, new_world

from fieldline_node.drivers.circuitpython.console import MAX_READ, WRITE_S, Console
from fieldline_node.errors import FlashError


def _console(settle=lambda: None):
    new_world().has_usb_data = True
    usb_cdc._connect()
    console = Console(settle)
    console.open()
    return console


def _raises(function, *arguments):
    try:
        function(*arguments)
    except OSError as error:
        return str(error)
    raise AssertionError("no error")


def case_a_frame_that_was_cut_off_is_ended_before_the_next():
    console = _console()
    serial = Holder.world.serial
    serial.room = 3
    assert "3 of 8" in _raises(console.write, b"a frame\x00")
    serial.room = None
    console.write(b"another\x00")
    console.write(b"third\x00")
    assert b"".join(serial.up) == b"a f\x00another\x00third\x00"


def case_a_host_that_takes_nothing_is_not_waited_for():
    console = _console()
    Holder.world.serial.room = 0
    before = Holder.world.us
    _raises(console.write, b"x" * 300)
    assert Holder.world.us - before <= WRITE_S * 1000000


def case_nothing_is_said_that_is_not_durable():
    order = []
    console = _console(lambda: order.append(len(Holder.world.serial.up)))
    console.write(b"one")
    console.write(b"two")
    assert order == [0, 1]

    def worn():
        raise FlashError("no slot")

    console = _console(worn)
    assert "no slot" in _raises(console.write, b"one")
    assert Holder.world.serial.up == []


def case_without_a_host_nothing_is_made_durable_for_it():
    order = []
    console = _console(lambda: order.append(1))
    Holder.world.serial.open = False
    _raises(console.write, b"one")
    assert order == []


def case_a_read_is_bounded():
    console = _console()
    Holder.world.serial.down = [b"x" * MAX_READ, b"y" * 10]
    assert len(console.read()) == MAX_READ
    assert bytes(console.read()) == b"y" * 10
    assert console.read() == b""


def case_a_port_that_boot_py_did_not_open_is_named():
    new_world()
    usb_cdc._connect()
    assert "boot.py" in _raises(Console(lambda: None).open)


def case_a_closed_console_is_silent():
    console = _console()
    Holder.world.serial.down = [b"x"]
    console.close()
    assert console.read() == b""
    _raises(console.write, b"x")
