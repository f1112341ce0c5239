"""The contracts of the node's ports (tests/contracts/node_ports.py), kept by the CircuitPython drivers."""

from _bleio import BluetoothError
from contracts.node_ports import CASES
from cp_cases.rig import blank_flash, reopened
from cp_radio import ADV_NONCONN_IND, Heard
from cp_world import FakeTime, Holder, Reset, new_world

from fieldline_node.drivers.circuitpython.ble import RING, Bearer
from fieldline_node.drivers.circuitpython.console import Console
from fieldline_node.drivers.circuitpython.hardware import Hardware


class FlashRig:
    def region(self):
        self._flash = blank_flash()
        return self._flash.region(1, 5)

    def restart(self):
        self._flash.sync()
        self._flash = reopened()
        return self._flash.region(1, 5)


class HardwareRig:
    PIN = 5

    def __init__(self):
        self.world = new_world()
        self.hardware = Hardware()

    def wait(self, ms):
        for _ in range(ms // 10):
            FakeTime().sleep(0.01)
            self.hardware.poll()

    def source(self):
        return self.hardware.edges(self.PIN)

    def pulse(self, count, hz):
        self.world.spin("GP5", hz)
        self.wait(1000 * count // hz)
        self.world.spin("GP5", 0)

    def restart(self):
        try:
            self.hardware.restart()
        except Reset:
            return True
        return False

    def warm(self, celsius):
        self.world.celsius = celsius


class StreamRig:
    def __init__(self):
        import usb_cdc

        new_world().has_usb_data = True
        usb_cdc._connect()
        self.stream = Console(lambda: None)
        self.stream.open()

    def say(self, data):
        Holder.world.serial.down.append(data)

    def heard(self):
        return b"".join(Holder.world.serial.up)

    def unplug(self):
        Holder.world.serial.open = False

    def plug(self):
        Holder.world.serial.open = True


class BearerRig:
    PORT = "espressif"

    def __init__(self):
        self.world = new_world()
        self.world.ble_port = self.PORT
        self.world.power_on("POWER_ON")
        self.bearer = Bearer()
        self.bound = RING
        self.came = []
        self.rssi = None
        self.air = []
        self._due = 0
        self.world.radio.on_event = self._said

    def now(self):
        return (self.world.us - self.world.started_us) // 1000

    def hear(self, data, rssi=-60):
        self.world.radio.say(Heard(data, rssi))

    def wait(self, ms):
        """As a mesh link does (links/mesh.py)."""
        for _ in range(ms):
            self.world.advance(1000)
            advert = self.bearer.take()
            while advert is not None:
                self.came.append(advert[:2])
                self.rssi = advert[2]
                advert = self.bearer.take()
            if self.now() >= self._due or not self.bearer.ready:
                self._due = self.now() + self.bearer.poll(self.now())

    def refuse(self, on):
        ble = self.world.ble
        ble.refuse.clear()
        ble.repairs = False
        if on:
            for call in ("start_advertising", "stop_advertising", "start_scan", "enabled"):
                ble.refuse[call] = BluetoothError("Unknown system firmware error: 15")
            self.world.radio.silence()

    def _said(self, kind, data):
        assert kind == ADV_NONCONN_IND
        self.air.append(data)


class NordicRig(BearerRig):
    PORT = "nordic"


def case_the_flash_keeps_its_contract():
    _check("flash", FlashRig)


def case_the_clock_keeps_its_contract():
    _check("clock", HardwareRig)


def case_the_edges_keep_their_contract():
    _check("edges", HardwareRig)


def case_the_stream_keeps_its_contract():
    _check("stream", StreamRig)


def case_the_bearer_keeps_its_contract():
    _check("bearer", BearerRig)


def case_the_bearer_keeps_its_contract_on_nrf():
    _check("bearer", NordicRig)


def case_the_chip_keeps_its_contract():
    _check("chip", HardwareRig)


def _check(port, rig):
    assert CASES[port]
    for case in CASES[port]:
        case(rig())
