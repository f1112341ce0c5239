"""Bluetooth LE adverts on a MicroPython port: the bearer under links/mesh.py and the mesh bridge.

Rules: in the interrupt a mesh advert is copied, and nothing else is done: what it gives expires with it. Adverts go
out one at a time, each for one event of the three channels.

Stock MicroPython advertises as ADV_SCAN_IND where it is told connectable=False (both ports). Nodes of ours hear that;
one that holds to Mesh Profile 1.0.1, 3.3.1, takes ADV_NONCONN_IND alone, and needs a patched image or the GATT proxy.
"""

import bluetooth

from fieldline_wire.codes import const

RING = const(32)  # adverts that wait: a flash sector's erase is 100 ms, ten adverts at a busy site
_ADVERT = const(31)  # bytes of a legacy advert
_PLACE = const(32)  # those, and the RSSI
_SCAN_RESULT = const(5)  # of bluetooth.BLE.irq
_SCAN_DONE = const(6)
_LOWEST = const(0x29)  # AD types PB-ADV, Mesh Message, Mesh Beacon
_HIGHEST = const(0x2B)
_SCAN_US = const(30000)  # window = interval: it listens always; the default hears 11 ms in 1.28 s
_ADVERT_US = const(20000)  # the shortest interval: the first event is soon, the next 20 to 30 ms after it
_EVENT_MS = const(12)  # so long it advertises: HCI, and one event
_IDLE_MS = const(1000)
_QUIET_MS = const(30000)  # a scan that hears nothing at all for so long is begun anew


class Bearer:
    """The radio, on from now on; it scans where it `listens`. OSError where it does not start."""

    __slots__ = (
        "_ble",
        "_heads",
        "_heard_at",
        "_listens",
        "_ring",
        "_seen",
        "_tail",
        "_until",
        "lost",
        "ready",
    )

    def __init__(self, listens: bool = True) -> None:
        self._listens = listens
        self._ring = memoryview(bytearray(RING * _PLACE if listens else 0))
        # Of the interrupt: place of the next advert, how many of any kind came, whether no scan is on
        self._heads = [0, 0, 1]
        self._tail = 0
        self._seen = 0
        self._heard_at = 0
        self._until = 0
        self.lost = 0
        self.ready = True
        self._ble = bluetooth.BLE()
        self._ble.irq(self._interrupt)
        self._ble.active(True)

    def poll(self, now: int) -> int:
        """Ends an event that is over, keeps the scan going; ms until it is to be asked again."""
        if not self.ready and now >= self._until:
            self._ble.gap_advertise(None)  # pyright: ignore[reportArgumentType] - ends it
            self.ready = True
        if self._listens:
            self._listen(now)
        return _IDLE_MS if self.ready else self._until - now

    def listen(self, now: int, on: bool) -> None:
        """Scans from now on, or not: a low-power node's radio rests."""
        if on == self._listens:
            return
        self._listens = on
        if on:
            self._listen(now)
        elif not self._heads[2]:
            self._ble.gap_scan(None)  # pyright: ignore[reportArgumentType] - ends it
            self._heads[2] = 1

    def send(self, now: int, ad_type: int, data: bytes) -> None:
        """Advertises one AD structure once; only where it is `ready`."""
        try:
            self._ble.gap_advertise(_ADVERT_US, bytes((len(data) + 1, ad_type)) + data, connectable=False)
        except OSError:
            return  # the controller is busy: as good as a lost copy
        self._until = now + _EVENT_MS
        self.ready = False

    def take(self) -> "tuple[int, bytes, int] | None":
        """(AD type, data, RSSI in dBm) of the oldest advert that came."""
        if self._tail == self._heads[0]:
            return None
        at = self._tail * _PLACE
        size, ad_type = self._ring[at], self._ring[at + 1]
        data = bytes(self._ring[at + 2 : at + 1 + size])
        rssi = self._ring[at + _ADVERT]
        self._tail = (self._tail + 1) % RING
        return ad_type, data, rssi - ((rssi & 0x80) << 1)

    def _listen(self, now: int) -> None:
        """Begins to scan where no scan is on, or where it hears nothing any more."""
        heads = self._heads
        if heads[1] != self._seen:
            self._seen = heads[1]
            self._heard_at = now
        if not heads[2]:
            if now - self._heard_at >= _QUIET_MS:
                self._ble.gap_scan(None)  # pyright: ignore[reportArgumentType] - ends it
                heads[2] = 1
            return
        heads[2] = 0
        self._heard_at = now
        try:
            self._ble.gap_scan(0, _SCAN_US, _SCAN_US)
        except OSError:
            pass  # it is on: SCAN_DONE was that of the one before; if not, its silence is seen

    def _interrupt(self, event: int, data) -> None:
        heads = self._heads
        if event == _SCAN_RESULT:
            heads[1] = (heads[1] + 1) & 0xFFFF
            view = data[4]
            size = len(view)
            if not 3 <= size <= _ADVERT or not _LOWEST <= view[1] <= _HIGHEST or not 1 < view[0] < size:
                return
            place = heads[0]
            after = (place + 1) % RING
            if after == self._tail:
                self.lost += 1
                return
            self._ring[place * _PLACE : place * _PLACE + size] = view
            self._ring[place * _PLACE + _ADVERT] = data[3] & 0xFF
            heads[0] = after
        elif event == _SCAN_DONE:
            heads[2] = 1
