"""Bluetooth LE adverts on CircuitPython's own radio (_bleio): the bearer under links/mesh.py and the mesh bridge.

Rules: nothing waits. The iterator of a scan that is on blocks until an advert comes, and that of one that has ended
gives what it heard: so each SCAN_MS the scan is ended and the next begun, and what the ended one heard is taken then.
An advert stops the scan no more than it must: a scan is not begun while one is on air, which nRF refuses. What the
radio refuses is as good as lost on air; where it goes on refusing it is switched off and on.

What CircuitPython 10.2.1 does, with the files that say it: docs/mesh.md 17.
"""

import supervisor

from fieldline_wire.codes import const

RING = const(32)  # adverts that a scan keeps: a flash sector's write is 100 ms, ten adverts at a busy site
SCAN_MS = const(
    90
)  # three scan intervals, a channel each: a scan that is begun anew may begin at the first again

_PLACE = const(31)  # bytes of a legacy advert
_ENTRY = const(19)  # bytes beside the data of one that a scan keeps: shared-module/_bleio/ScanResults.c
_ROOM = const(1600)  # RING * (_PLACE + _ENTRY)
_LOWEST = const(0x29)  # AD types PB-ADV, Mesh Message, Mesh Beacon
_HIGHEST = const(0x2B)
_INTERVAL_S = 0.03  # window = interval: it listens always
_WEAKEST = const(-127)  # dBm; the default, -80, drops half of a site
_ADVERT_S = 0.02  # the shortest interval: the first event is soon, the next 20 to 30 ms after it
_EVENT_MS = const(12)  # so long it advertises: HCI, and one event
_IDLE_MS = const(1000)
_RETRY_MS = const(1000)  # from a scan that did not start to the next try
_SICK = const(5)  # refusals in a row after which the radio is switched off and on
_REST_MS = const(10000)  # between two such attempts
_QUIET_MS = const(
    600000
)  # no mesh advert for so long, with neighbours that say a beacon each 10 s: as if it refused


class Bearer:
    """The radio, on from now on; it scans where it `listens`. OSError where it does not start.

    lost: scans whose room was full, each of which lost an advert or more.
    """

    __slots__ = (
        "_adapter",
        "_again_at",
        "_came",
        "_ended",
        "_errors",
        "_heard_at",
        "_listens",
        "_prefixes",
        "_refusals",
        "_scan",
        "_scan_until",
        "_until",
        "_used",
        "lost",
        "ready",
    )

    def __init__(self, listens: bool = True) -> None:
        self._listens = listens
        self._adapter, self._errors = _radio()
        # Not a constant, as it must lie on the heap. Each is a length and the first bytes of an AD structure
        self._prefixes = bytearray((1, 0x29, 1, 0x2A, 1, 0x2B))
        self._scan = None  # the one that is on
        self._ended = None  # the last one, held: a late report of the radio's task would write to it
        self._came = None  # the same, until all of it was taken
        self._used = 0  # bytes of it that were taken
        self._scan_until = 0
        self._heard_at = 0
        self._until = 0
        self._refusals = 0
        self._again_at = 0
        self.lost = 0
        self.ready = True

    def poll(self, now: int) -> int:
        """Ends an event that is over, and the scan whose time is over; ms until it is to be asked again."""
        if not self.ready and now >= self._until:
            self._end_event(now)
        if self.ready and self._listens and self._came is None:
            if now >= self._scan_until:
                self._listen(now)
            elif now - self._heard_at >= _QUIET_MS:
                self._heard_at = now
                self._restart(now)
        if not self.ready:
            return max(0, self._until - now)
        if self._came is not None:
            return 0
        return max(0, self._scan_until - now) if self._listens else _IDLE_MS

    def listen(self, now: int, on: bool) -> None:
        """Scans from now on, or not: a low-power node's radio rests. What was heard is given still."""
        if on == self._listens:
            return
        self._listens = on
        self._scan_until = 0
        if on and self.ready and self._came is None:
            self._listen(now)
        if on or self._scan is None:
            return
        if self._came is None:
            self._ended = self._came = self._scan
            self._used = 0
        self._scan = None
        try:
            self._adapter.stop_scan()
        except self._errors:
            pass  # it is ended again before the next is begun

    def send(self, now: int, ad_type: int, data: bytes) -> None:
        """Advertises one AD structure once; only where it is `ready`."""
        advert = bytes((len(data) + 1, ad_type)) + data
        try:
            self._adapter.start_advertising(advert, connectable=False, interval=_ADVERT_S)
        except self._errors:
            self._end_event(now)  # so that the next is not refused as a second one
            self._refused(now)
            return
        self._refusals = 0
        self._until = now + _EVENT_MS
        self.ready = False

    def take(self) -> "tuple[int, bytes, int] | None":
        """(AD type, data, RSSI in dBm) of the oldest advert that came."""
        while self._came is not None:
            try:
                entry = next(self._came)
            except StopIteration:
                if self._used > _ROOM - _ENTRY - _PLACE:
                    self.lost += 1
                self._came = None
                break
            data = entry.advertisement_bytes
            size = len(data)
            self._used += _ENTRY + size
            if 3 <= size <= _PLACE and _LOWEST <= data[1] <= _HIGHEST and 1 < data[0] < size:
                return data[1], data[2 : 1 + data[0]], entry.rssi
        return None

    def _listen(self, now: int) -> None:
        """Ends the scan, whose adverts take() then gives, and begins the next."""
        if self._used or self._scan is None:
            self._heard_at = now
        ended, self._scan = self._scan, None
        self._scan_until = now + SCAN_MS
        try:
            self._adapter.stop_scan()
            self._scan = self._adapter.start_scan(
                self._prefixes,
                buffer_size=_ROOM,
                interval=_INTERVAL_S,
                window=_INTERVAL_S,
                minimum_rssi=_WEAKEST,
                active=False,
            )
        except self._errors:
            self._scan_until = now + _RETRY_MS
            self._refused(now)
        else:
            self._refusals = 0
        if ended is not None:
            self._ended = self._came = ended
            self._used = 0

    def _end_event(self, now: int) -> None:
        self.ready = True
        try:
            self._adapter.stop_advertising()
        except self._errors:
            self._refused(now)

    def _refused(self, now: int) -> None:
        self._refusals += 1
        if self._refusals >= _SICK:
            self._restart(now)

    def _restart(self, now: int) -> None:
        """Switches the radio off and on, unless it was just done."""
        if now < self._again_at:
            return
        self._again_at = now + _REST_MS
        self._refusals = 0
        self._scan = None
        self._scan_until = now
        adapter = self._adapter
        for _ in range(2):  # what was refused so far may be refused once more
            try:
                adapter.stop_scan()
                adapter.enabled = False
                adapter.enabled = True
                return
            except self._errors:
                continue


def _radio() -> tuple:
    """(the chip's own adapter, switched on; what it raises). OSError where there is none, or it does not start."""
    try:
        supervisor.runtime.ble_workflow = False  # which advertises as soon as the node does not
    except (AttributeError, NotImplementedError):
        pass  # there is none
    try:
        import _bleio

        adapter = _bleio.adapter
        if adapter is None:
            raise OSError("CircuitPython has no Bluetooth of the chip's own here")
        adapter.enabled = True
    except ImportError:
        raise OSError("this CircuitPython has no _bleio") from None
    except (MemoryError, RuntimeError) as error:
        raise OSError(str(error)) from None
    return adapter, (_bleio.BluetoothError, MemoryError, OSError, RuntimeError, ValueError)
