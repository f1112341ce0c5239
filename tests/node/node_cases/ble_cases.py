"""The MicroPython bearer on a fake `bluetooth`: what its interrupt keeps, and what the controller is told."""

import sys

from contracts.node_ports import CASES

SCAN_RESULT = 5
SCAN_DONE = 6


class FakeBle:
    """bluetooth.BLE: `told` are the calls; what the interrupt got expires when it returns."""

    def __init__(self):
        self.told = []
        self.handler = None
        self.refuses = False
        self._buffer = bytearray(62)

    def irq(self, handler):
        self.handler = handler

    def active(self, on):
        self.told.append(("active", on))

    def gap_advertise(self, interval_us, adv_data=None, *, resp_data=None, connectable=True):
        if self.refuses:
            raise OSError(16)
        self.told.append(("advertise", interval_us, adv_data, connectable))

    def gap_scan(self, duration_ms=0, interval_us=1280000, window_us=11250, active=False):
        if self.refuses:
            raise OSError(114)
        self.told.append(("scan", duration_ms, interval_us, window_us))

    def hear(self, data, rssi=-60):
        view = memoryview(self._buffer)[: len(data)]
        view[:] = data
        self.handler(SCAN_RESULT, (1, memoryview(bytes(6)), 2, rssi, view))
        for at in range(len(self._buffer)):
            self._buffer[at] = 0xA5


class _Module:
    pass


def _bearer():
    before = sys.modules.get("bluetooth")
    fake, module = FakeBle(), _Module()
    module.BLE = lambda: fake
    sys.modules["bluetooth"] = module
    sys.modules.pop("fieldline_node.drivers.micropython.ble", None)
    try:
        ble = __import__("fieldline_node.drivers.micropython.ble", None, None, ("Bearer",))
        return ble, ble.Bearer(), fake
    finally:
        if before is None:
            del sys.modules["bluetooth"]
        else:
            sys.modules["bluetooth"] = before


class Rig:
    """The bearer as the contract's cases ask for it (tests/contracts/node_ports.py)."""

    FIRST_MS, NEXT_MS = 1, 25  # from the command to the first event, and on

    def __init__(self):
        ble, self.bearer, self._fake = _bearer()
        self.bound = ble.RING - 1
        self.came = []
        self.rssi = None
        self.air = []
        self._now = 0
        self._due = 0
        self._event = None

    def now(self):
        return self._now

    def hear(self, data, rssi=-60):
        scans = [call for call in self._fake.told if call[0] == "scan"]
        if scans and scans[-1][1] == 0:
            self._fake.hear(data, rssi)

    def wait(self, ms):
        for _ in range(ms):
            self._now += 1
            self._say()
            advert = self.bearer.take()
            while advert is not None:
                self.came.append(advert[:2])
                self.rssi = advert[2]
                advert = self.bearer.take()
            if self._now >= self._due or not self.bearer.ready:
                self._due = self._now + self.bearer.poll(self._now)

    def refuse(self, on):
        self._fake.refuses = on

    def _say(self):
        told = [call for call in self._fake.told if call[0] == "advertise"]
        on = told[-1] if told and told[-1][1] is not None else None
        if on is None:
            self._event = None
            return
        if self._event is None or self._event[0] is not on:
            self._event = on, self._now + self.FIRST_MS
        if self._now >= self._event[1]:
            assert on[3] is False, "it would be connectable"
            self.air.append(on[2])
            self._event = on, self._now + self.NEXT_MS


def case_it_keeps_the_bearers_contract():
    assert CASES["bearer"]
    for case in CASES["bearer"]:
        case(Rig())


def structure(kind, data):
    return bytes((len(data) + 1, kind)) + data


def case_it_scans_always_and_what_it_heard_outlives_the_interrupt():
    _, bearer, fake = _bearer()
    bearer.poll(0)
    assert fake.told == [("active", True), ("scan", 0, 30000, 30000)]
    fake.hear(structure(0x2A, b"message"))
    fake.hear(structure(0x2B, b"beacon and more") + b"\x02\x01\x06", -128)
    fake.hear(structure(0x29, bytes(29)), 20)
    assert bearer.take() == (0x2A, b"message", -60)
    assert bearer.take() == (0x2B, b"beacon and more", -128)
    assert bearer.take() == (0x29, bytes(29), 20)
    assert bearer.take() is None and bearer.lost == 0


def case_a_low_power_nodes_radio_rests_and_listens_as_it_is_told():
    _, bearer, fake = _bearer()
    scan, rest = ("scan", 0, 30000, 30000), ("scan", None, 1280000, 11250)
    bearer.listen(0, False)
    bearer.poll(0)
    assert fake.told == [("active", True)]
    bearer.listen(10, True)  # at once: its window is short
    assert fake.told[1:] == [scan]
    bearer.poll(11)
    fake.hear(structure(0x2A, b"message"))
    bearer.listen(15, False)
    fake.handler(SCAN_DONE, ())  # of the scan that was ended
    bearer.poll(20)
    assert fake.told[2:] == [rest] and bearer.take()[1] == b"message"
    for now in (30, 40):
        bearer.listen(now, True)
        bearer.poll(now)
    assert fake.told[3:] == [scan]
    fake.refuses = True
    bearer.poll(50)
    fake.refuses = False
    bearer.listen(60, False)
    assert fake.told[4:] == [rest]


def case_what_is_no_mesh_advert_takes_no_room():
    _, bearer, fake = _bearer()
    for data in (
        b"",
        b"\x01",
        b"\x01\x2a",
        structure(0xFF, b"other"),
        b"\x1e\x2a\x00",
        b"\x03\x2a\x00",
        bytes(62),
    ):
        fake.hear(data)
    assert bearer.take() is None and bearer.lost == 0
    fake.handler(1, (0, 1))  # another event


def case_the_ring_is_bounded_the_oldest_stay_and_the_rest_is_counted():
    ble, bearer, fake = _bearer()
    for number in range(ble.RING + 9):
        fake.hear(structure(0x2A, bytes((number,))))
    assert bearer.lost == 10  # a place is always free
    for number in range(ble.RING - 1):
        assert bearer.take() == (0x2A, bytes((number,)), -60)
    assert bearer.take() is None
    for turn in range(3 * ble.RING):  # round and round
        fake.hear(structure(0x2A, bytes((turn & 0xFF, 7))))
        assert bearer.take() == (0x2A, bytes((turn & 0xFF, 7)), -60)
    assert bearer.lost == 10


def case_an_advert_is_one_event():
    _, bearer, fake = _bearer()
    bearer.poll(100)
    del fake.told[:]
    bearer.send(100, 0x2A, b"mine")
    assert fake.told == [("advertise", 20000, structure(0x2A, b"mine"), False)]
    assert not bearer.ready and bearer.poll(105) == 7
    assert not bearer.ready and len(fake.told) == 1
    bearer.poll(112)
    assert bearer.ready and fake.told[1][:2] == ("advertise", None)
    fake.refuses = True
    bearer.send(113, 0x2A, b"lost")
    assert bearer.ready, "one that the controller did not take is as good as lost on air"


def case_a_scan_that_ended_or_fell_silent_is_begun_anew():
    _, bearer, fake = _bearer()
    scan = ("scan", 0, 30000, 30000)
    bearer.poll(0)
    fake.handler(SCAN_DONE, ())
    bearer.poll(10)
    assert fake.told[1:] == [scan, scan]
    now = 10
    for _ in range(50):  # it hears others' adverts: all is well
        now += 1000
        fake.hear(structure(0xFF, b"other"))
        bearer.poll(now)
    assert len(fake.told) == 3
    bearer.poll(now + 29000)
    assert len(fake.told) == 3
    bearer.poll(now + 30000)
    bearer.poll(now + 30001)
    assert fake.told[3:] == [("scan", None, 1280000, 11250), scan]
    fake.refuses = True
    fake.handler(SCAN_DONE, ())
    bearer.poll(now + 30002)  # it is on already, the controller says: no fault
    fake.refuses = False
    assert len(fake.told) == 5
