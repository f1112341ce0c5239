"""The CircuitPython drivers on the fake modules, alone and as a whole node (runs on all three interpreters).

Rules: the scripts of firmware/circuitpython are run as they are. A node can't be stopped and gone on with: run()
starts it, lets `ms` pass, does what `script` says at its times, and tells how it ended.
"""

import binascii
import os
import sys

import usb_cdc
from cp_fat import FatVolume
from cp_world import FakeOs, FakeTime, Holder, PowerCut, Reset, fake_open, new_world
from fakes.node_peer import KEY, NODE, Peer
from node_cases.bench import TestedBoard

STORE = "/fieldline.bin"
SLOTS = 12
STATE_SECTORS = 2
OUTBOX_SECTORS = 8
STEP_MS = 10
ON_CPYTHON = sys.implementation.name == "cpython"  # where a long row of cases takes no long time

RUNNING = "running"  # how a run ends: time is over,
ENDED = "ended"  # code.py came to its end, CUT, or the name of a reset reason
CUT = "cut"


class CircuitPythonBoard(TestedBoard):
    """What `fieldline node build --interpreter circuitpython` makes of a board."""

    USB_DRIVE = True
    PIN_NAMES = "GP%d"
    STORE = STORE
    STORE_SLOTS = SLOTS
    STORE_STATE = STATE_SECTORS
    STORE_OUTBOX = OUTBOX_SECTORS


class ReleaseBoard(CircuitPythonBoard):
    """The same as a release."""

    DEVELOPMENT = False


class _FakeGc:
    def mem_free(self):
        return 54321


def _install():
    sys.modules["fieldline_board"] = CircuitPythonBoard
    from fieldline_node import bthome, mesh, optional
    from fieldline_node.drivers.circuitpython import flash, hardware, identity, run

    flash.os = hardware.os = optional.os = FakeOs(os.urandom)
    flash.open = identity.open = mesh.open = bthome.open = fake_open
    hardware.gc = _FakeGc()
    run.time = FakeTime()


_install()

from fieldline_node.drivers.circuitpython import flash as flash_driver  # noqa: E402 - after _install()
from fieldline_node.drivers.circuitpython import pins, run  # noqa: E402


class Stop(BaseException):
    """The time of a run is over."""


class Node:
    """A board with the firmware on it, and a gateway at its data port."""

    def __init__(self, board=CircuitPythonBoard, drive=256 * 1024):
        self.world = new_world()
        self.world.volume = FatVolume(drive)
        self.world.volume.texts["/identity.bin"] = identity_file()
        self.board = board
        self.peer = Peer(self.world.serial, lambda: self.world.us // 1000)
        self.flash = None  # of the run
        self._end = 0  # us

    def run(self, ms, script=(), why="POWER_ON", boot=True):
        """Starts the node for `why` and lets `ms` pass; how it ended. `script`: (ms, what to call), in order."""
        world = self.world
        world.power_on(why)
        world.serial.up, world.serial.down = [], []
        sys.modules["fieldline_board"] = run.board = pins.fieldline_board = self.board
        run.open_flash = self._open_flash
        script = list(script)
        start = world.us
        self._end = start + ms * 1000

        def advance(_us):
            while script and world.us - start >= script[0][0] * 1000:
                script.pop(0)[1]()
            self.peer.step()
            if world.us >= self._end:
                raise Stop

        try:
            if boot:
                run_script("boot.py")
            usb_cdc._connect()
            world.on_advance = advance
            run_script("code.py")
        except Stop:
            return RUNNING
        except PowerCut:
            return CUT
        except Reset as reset:
            return reset.why
        finally:
            world.on_advance = None
        return ENDED

    def stop(self):
        """The run is over with the next move of time."""
        self._end = 0

    def _open_flash(self, *how):
        self.flash = flash_driver.open_flash(*how)
        return self.flash


def run_script(name):
    """Runs a script of firmware/circuitpython as CircuitPython does."""
    real = sys.modules.get("time")
    sys.modules["time"] = FakeTime()
    try:
        exec(_source("circuitpython/" + name), {"__name__": "__main__"})
    finally:
        if real is None:
            del sys.modules["time"]
        else:
            sys.modules["time"] = real


def identity_file(node=NODE, key=KEY):
    """/identity.bin"""
    data = node + b"\x00" + key
    return data + binascii.crc32(data).to_bytes(4, "big")


def blank_flash(slots=SLOTS, sectors=STATE_SECTORS + OUTBOX_SECTORS):
    """A FileFlash on a new world's file system, which is the node's to write."""
    new_world().volume.python_writes = True
    return flash_driver.open_flash(STORE, slots, sectors, lambda: None)


def reopened(slots=SLOTS, sectors=STATE_SECTORS + OUTBOX_SECTORS):
    """The same after a power cut."""
    volume = Holder.world.volume
    volume.power_on()
    volume.python_writes = True
    return flash_driver.open_flash(STORE, slots, sectors, lambda: None)


def _source(path):
    for folder in sys.path:
        try:
            with open(folder + "/" + path) as file:  # noqa: PTH123 - runs on MicroPython
                return file.read()
        except OSError:
            continue
    raise OSError("no %s on sys.path" % path)
