"""A whole node on fakes with a gateway at the other end of its line (runs on MicroPython too).

Rules: time moves only in run(). A power cut is a new boot on the same flash.
"""

from fakes.aes import Block
from fakes.flash import FakeFlash
from fakes.hardware import FakeHardware
from fakes.node_peer import KEY, NODE, Line, Peer

from fieldline_node.faults import Faults
from fieldline_node.journal import Journal
from fieldline_node.links.serial import SerialLink
from fieldline_node.node import make_node
from fieldline_wire.codes import KEY_PULSES, KEY_REJECT_US
from fieldline_wire.messages import Result
from fieldline_wire.seal import BlockCcm

FAN = 1  # sensors by number
BOARD = 2
FAN_PIN = 5
OUTPUT_PIN = 16
REFLEX_PIN = 15
STEP_MS = 10
SPEED_50_HZ = 15000  # 0.1 rpm at two pulses a turn


class TestedBoard:
    """The constants of a catalog's board."""

    NAME = "tested"
    CHIP = "rp2"
    FIRMWARE = "1.2.3"
    DEVELOPMENT = True
    LED = "LED"
    REFLEX = REFLEX_PIN
    OUTPUTS = (OUTPUT_PIN,)
    SENSORS = (
        (FAN, "fan", "tachometer", FAN_PIN, ((KEY_PULSES, 2), (KEY_REJECT_US, 10000))),
        (BOARD, "board", "chip_temperature", None, ()),
    )


class Bench:
    """A node, its flash, its hardware, its line and its gateway."""

    def __init__(self, sectors=16, journal_sectors=4, updates=None):
        """`updates`: their loader (ports.py)."""
        self.updates = updates
        self.state = FakeFlash(journal_sectors, 1024)
        self.flash = FakeFlash(sectors, 1024)
        self.time = 0  # ms since the bench began; the node's own starts at each boot
        self.line = Line()
        self.peer = Peer(self.line, lambda: self.time)
        self.boot()

    def boot(self, cause=1):
        """Starts the node as after a reset."""
        self.hardware = FakeHardware(self.state.operations + 1)
        self.hardware.cause = cause
        self.line.up, self.line.down = [], []
        journal = Journal(self.state)
        journal.mount()
        faults = Faults(journal)
        faults.load()
        self.link = SerialLink(self.line)
        identity = (NODE, 0, BlockCcm(Block(KEY)))
        self.app = make_node(
            TestedBoard, self.hardware, self.link, journal, faults, self.flash, identity, self.updates
        )
        self.fan = self.hardware.fans.get(FAN_PIN)

    def run(self, ms):
        """Lets time pass."""
        end = self.time + ms
        while self.time < end:
            self.app.step(self.hardware.now)
            self.peer.step()
            self.time += STEP_MS
            self.hardware.now += STEP_MS


def spinning(bench, hz=50):
    """The bench, its fan turning."""
    bench.fan.spin(hz)
    return bench


def result(bench, command):
    """What the node answers to `command`."""
    bench.peer.send(command)
    bench.run(100)
    return bench.peer.of(Result)[-1]
