"""The world of the fake CircuitPython modules beside this one (runs on MicroPython and CircuitPython too).

Rules: time moves only by advance(); what a reset ends is raised as Reset, a power cut as PowerCut, and neither is
an Exception, so that no handler of the app takes it. power_on() starts the chip anew: nvm and the file system stay.
"""

from cp_fat import FatVolume
from cp_nvm import ByteArray
from cp_radio import Ble, Radio

TICKS_PERIOD = 1 << 29  # supervisor.ticks_ms
TICKS_AT_START = TICKS_PERIOD - 65000  # "the first overflow occurs about 65 seconds after power-on"


class Reset(BaseException):
    """The chip was reset; `why` is a name of microcontroller.ResetReason."""

    def __init__(self, why):
        super().__init__(why)
        self.why = why


class PowerCut(BaseException):
    """The power went away."""


class Serial:
    """The host's end of a USB serial port: `down` are bytes for the node, `up` what it wrote, in writes."""

    def __init__(self):
        self.down = []
        self.up = []
        self.open = True  # DTR
        self.room = None  # bytes that the host will still take; None: any


class Spin:
    """A fan at a pin."""

    def __init__(self, hz, at_us):
        self.hz = hz
        self.next = at_us + (1000000 / hz if hz else 0)


class World:
    """One board. `on_advance(us)` is called with each move of time; `resets` counts starts."""

    def __init__(self):
        self.volume = FatVolume()
        self.nvm = ByteArray()
        self.us = 0
        self.celsius = 27.5  # or what gives it when called
        self.serial = Serial()
        self.has_usb_data = False
        self.on_advance = None
        self.radio = Radio()
        self.usb_in = 8  # IN endpoints of the chip
        self.ble_port = "espressif"  # or "nordic"; None: no Bluetooth of the chip's own
        self.power_on("POWER_ON")

    def power_on(self, why):
        """The chip starts, `why`; all that is volatile is gone."""
        self.why = why
        self.started_us = self.us
        self.in_use = {}  # pin name to what has it
        self.levels = {}
        self.counts = {}
        self.spins = {}
        self.wdt_mode = None
        self.wdt_timeout = 0.0
        self.fed_us = self.us
        self.usb_up = False  # USB is connected: what it presents can't be changed any more
        self.drive = True  # the host sees CIRCUITPY
        self.console = True
        self.has_usb_data = False
        self.safe_mode_reason = "NONE"
        self.run_mode = "NORMAL"
        self.i2c = {}  # address to registers
        self.i2c_busy = 0  # clock pulses until a chip lets go of the data line
        self.wire_bits = []  # what comes from the 1-Wire bus
        self.wire_sent = []
        self.analog = {}
        self.radio.silence()
        self.ble = Ble(self.ble_port)
        self.volume.power_on()

    def ticks_ms(self):
        return (TICKS_AT_START + (self.us - self.started_us) // 1000) % TICKS_PERIOD

    def spin(self, pin, hz):
        """A fan at `pin` gives `hz` falling edges a second from now on."""
        self.spins[pin] = Spin(hz, self.us)

    def advance(self, us):
        """Time passes: fans turn, the watchdog may bite."""
        self.us += us
        for pin, spin in self.spins.items():
            while spin.hz and spin.next <= self.us:
                self.counts[pin] = self.counts.get(pin, 0) + 1
                spin.next += 1000000 / spin.hz
        self.radio.advance(self.us)
        if self.wdt_mode == "RESET" and self.us - self.fed_us > self.wdt_timeout * 1000000:
            raise Reset("WATCHDOG")
        if self.on_advance is not None:
            self.on_advance(us)

    def take(self, pin, owner):
        """A module takes a pin. ValueError where it is in use."""
        if pin in self.in_use:
            raise ValueError(f"{pin} in use")
        self.in_use[pin] = owner

    def release(self, pin):
        self.in_use.pop(pin, None)


class Holder:
    """Where the modules find the world of the running test."""

    world = World()


def new_world():
    """A blank board."""
    Holder.world = World()
    return Holder.world


class FakeTime:
    """The module time: sleep() moves the world's."""

    def sleep(self, seconds):
        Holder.world.advance(int(seconds * 1000000 + 0.5))


class FakeOs:
    """The module os, of the world's file system."""

    def __init__(self, urandom):
        self.urandom = urandom

    def sync(self):
        Holder.world.volume.sync()

    def stat(self, path):
        return Holder.world.volume.stat(path)

    def remove(self, path):
        Holder.world.volume.remove(path)

    def rename(self, old, new):
        Holder.world.volume.rename(old, new)


def fake_open(path, mode="r"):
    """The built-in open, of the world's file system."""
    return Holder.world.volume.open(path, mode)
