"""CircuitPython's bearer on a fake _bleio: what the radio is told, what it refuses, what the node does about it."""

import gc
import sys

import _bleio
import supervisor
from cp_radio import Heard
from cp_world import new_world

from fieldline_node.drivers.circuitpython.ble import RING, SCAN_MS, Bearer

ON_CPYTHON = sys.implementation.name == "cpython"


def structure(kind, data):
    return bytes((len(data) + 1, kind)) + data


class Bench:
    """A bearer on a new world; run() asks it as a mesh link does, `each(now)` is called each ms."""

    def __init__(self, port="espressif", listens=True):
        self.world = new_world()
        self.world.ble_port = port
        self.world.power_on("POWER_ON")
        self.bearer = Bearer(listens)
        self.air = []
        self.came = []
        self.rssi = None
        self.world.radio.on_event = lambda kind, data: self.air.append(data)
        self._due = 0

    @property
    def ble(self):
        return self.world.ble

    def now(self):
        return (self.world.us - self.world.started_us) // 1000

    def hear(self, data, rssi=-60):
        self.world.radio.say(Heard(data, rssi))

    def say(self, now):
        if self.bearer.ready:
            self.bearer.send(now, 0x2A, b"mine")

    def run(self, ms, each=None, step=1):
        end = self.now() + ms
        while self.now() < end:
            self.world.advance(step * 1000)
            if each is not None:
                each(self.now())
            advert = self.bearer.take()
            while advert is not None:
                self.came.append(advert[:2])
                self.rssi = advert[2]
                advert = self.bearer.take()
            if self.now() >= self._due or not self.bearer.ready:
                self._due = self.now() + self.bearer.poll(self.now())


def case_a_scan_is_begun_anew_all_the_time_and_never_while_an_advert_is_on_air():
    for port in ("espressif", "nordic"):
        bench = Bench(port)
        bench.run(30 * SCAN_MS)
        assert 28 <= bench.ble.scans <= 31, bench.ble.scans
        before = bench.ble.scans
        bench.run(30 * SCAN_MS, bench.say)
        assert bench.ble.scans - before >= 25, "a node that always says something hears too"
        assert len(bench.air) > 150 and bench.ble.switched == 1 and not bench.ble.refuse


def case_an_advert_of_which_a_mesh_structure_is_not_the_first_or_that_is_too_long_is_no_mesh_advert():
    bench = Bench()
    bench.run(10)
    bench.hear(b"\x02\x01\x06" + structure(0x2A, b"behind flags"))
    bench.hear(structure(0x2A, bytes(40)))  # an extended one
    bench.hear(structure(0x2A, b"good"))
    bench.run(2 * SCAN_MS)
    assert bench.came == [(0x2A, b"good")]


def case_others_adverts_take_no_room():
    bench = Bench()
    bench.run(10)
    for number in range(500):
        bench.hear(structure(0xFF, bytes(20)))
        if number % 50 == 0:
            bench.hear(structure(0x2A, bytes((number // 50,))))
    bench.run(2 * SCAN_MS)
    assert bench.came == [(0x2A, bytes((number,))) for number in range(10)] and bench.bearer.lost == 0


def case_what_was_not_taken_stays_and_the_scan_goes_on():
    bench = Bench()
    bearer, world = bench.bearer, bench.world
    bearer.poll(bench.now())
    bench.hear(structure(0x2A, b"one"))
    for _ in range(50):
        world.advance(SCAN_MS * 1000)
        bearer.poll(bench.now())  # nobody takes it
    assert bench.ble.scans == 2
    for number in range(RING):
        bench.hear(structure(0x2A, bytes((number,)) + bytes(28)))
    bench.run(3 * SCAN_MS)
    assert bench.came == [(0x2A, b"one")] + [(0x2A, bytes((number,)) + bytes(28)) for number in range(RING)]


def case_an_adapter_that_was_switched_off_is_switched_on():
    for port in ("espressif", "nordic"):
        bench = Bench(port)
        bench.run(1000)
        _bleio.adapter.enabled = False
        bench.run(6000, bench.say)
        bench.run(20)  # until the last of them is over
        assert bench.ble.enabled and bench.bearer.ready
        del bench.air[:]
        bench.hear(structure(0x2A, b"back"))
        bench.bearer.send(bench.now(), 0x2A, b"again")
        bench.run(200)
        assert bench.came == [(0x2A, b"back")] and bench.air == [structure(0x2A, b"again")]


def case_a_bearer_that_only_speaks_comes_back_too():
    bench = Bench(listens=False)
    bench.run(100)
    assert bench.ble.scans == 0
    _bleio.adapter.enabled = False
    bench.run(100, bench.say)
    assert bench.ble.enabled and bench.air, "the sixth is on air"
    assert bench.bearer.poll(bench.now() + 100) == 1000 and bench.ble.scans == 0


def case_a_radio_that_goes_on_refusing_is_switched_off_and_on_now_and_then():
    bench = Bench()
    bench.run(100)
    ble = bench.ble
    ble.repairs = False
    ble.refuse["start_scan"] = _bleio.BluetoothError("Unknown system firmware error: 12")
    bench.run(60000, step=10)
    assert 2 * 5 <= ble.switched - 1 <= 2 * 6, ble.switched  # off and on: two each
    ble.refuse.clear()
    bench.run(12000, step=10)
    bench.hear(structure(0x2A, b"back"))
    bench.run(200)
    assert bench.came == [(0x2A, b"back")]


def case_no_memory_for_a_scan_is_tried_again():
    bench = Bench()
    bench.run(100)
    bench.ble.refuse["buffer"] = MemoryError("memory allocation failed")
    bench.run(3000)
    del bench.ble.refuse["buffer"]
    bench.run(1500)
    bench.hear(structure(0x2A, b"back"))
    bench.run(200)
    assert bench.came == [(0x2A, b"back")] and bench.ble.switched == 1


def case_somebody_elses_advert_costs_one_of_ours():
    bench = Bench()
    bench.run(100)
    _bleio.adapter.start_advertising(b"\x02\x01\x06")  # a person at the REPL
    bench.bearer.send(bench.now(), 0x2A, b"lost")
    assert bench.bearer.ready and not bench.ble.advertising
    bench.bearer.send(bench.now(), 0x2A, b"mine")
    bench.run(100)
    assert bench.air == [structure(0x2A, b"mine")]


def case_a_radio_that_hears_nobody_for_ten_minutes_is_switched_off_and_on():
    bench = Bench()

    def now_and_then(now):
        if now % 60000 < 50:
            bench.hear(structure(0x2B, b"beacon"))

    bench.run(1200000, now_and_then, step=50)
    assert bench.ble.switched == 1
    bench.run(590000, step=50)
    assert bench.ble.switched == 1
    bench.run(20000, step=50)
    assert bench.ble.switched == 3
    bench.hear(structure(0x2A, b"heard"))
    bench.run(200)
    assert bench.came[-1] == (0x2A, b"heard")


def case_the_bluetooth_workflow_is_switched_off():
    world = new_world()
    world.ble.workflow = True  # its adverts would come back with the end of each of ours
    Bearer()
    assert supervisor.runtime.ble_workflow is False


def case_a_radio_that_does_not_start_is_said():
    for error in (RuntimeError("Update failed"), MemoryError("Update failed"), OSError("Update failed")):
        new_world().ble.refuse["enabled"] = error
        assert "Update failed" in _refusal()


def case_a_chip_without_a_radio_is_said():
    world = new_world()
    world.ble_port = None
    world.power_on("POWER_ON")
    adapter = _bleio.adapter
    try:
        _bleio.adapter = None  # as on a Pico W, whose _bleio is for a radio at a UART
        assert "no Bluetooth of the chip's own" in _refusal()
    finally:
        _bleio.adapter = adapter
    if ON_CPYTHON:  # others cannot be told that a module is not there
        sys.modules["_bleio"] = None
        try:
            assert "no _bleio" in _refusal()
        finally:
            sys.modules["_bleio"] = _bleio


def _refusal():
    try:
        Bearer()
    except OSError as error:
        return str(error)
    raise AssertionError("it started")


def case_a_flood_takes_no_memory():
    bench = Bench()
    bench.run(100)
    data = structure(0x2A, bytes(29))

    def flood(now):
        del bench.came[:]
        for _ in range(3):
            bench.hear(data)

    bench.run(3000, flood)
    lost = bench.bearer.lost
    quiet = _used()
    bench.run(2000, flood)
    assert bench.bearer.lost - lost > 15
    assert _used() - quiet < 4096, _used() - quiet


def _used():
    """Bytes of heap; 0 where the interpreter does not tell, or collects no garbage in the middle of a run."""
    if sys.implementation.name != "circuitpython":
        return 0
    gc.collect()
    return gc.mem_alloc()
