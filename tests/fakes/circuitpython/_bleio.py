"""_bleio: advertising and scanning as CircuitPython 10.2.1 has them, on the world's radio (cp_radio.py).

As ports/espressif/common-hal/_bleio/Adapter.c and, where the world says so, ports/nordic's do; scans as
shared-module/_bleio/ScanResults.c. A call that would wait for ever is a failure of the test.
"""

from cp_radio import ADV_IND, ADV_NONCONN_IND, ADV_SCAN_IND
from cp_world import Holder

_ENTRY = 19  # type, time, RSSI, address and its type, length
_LEGACY = 31


class BluetoothError(Exception):
    """Whatever the radio refuses."""


class ScanEntry:
    """An advert that came."""

    def __init__(self):
        raise TypeError("no constructor")

    @property
    def advertisement_bytes(self):
        return self._data

    @property
    def rssi(self):
        return self._rssi

    @property
    def connectable(self):
        return self._connectable

    @property
    def scan_response(self):
        return self._scan_response


class ScanResults:
    """Iterates over what a scan heard."""

    def __init__(self):
        raise TypeError("no constructor")

    def __iter__(self):
        return self

    def __next__(self):
        self._look()
        assert self._entries or self._done, "the iterator of a scan that is on waits for an advert"
        if not self._entries:
            raise StopIteration
        entry = self._entries.pop(0)
        self._used -= _ENTRY + len(entry._data)
        return entry

    def _look(self):
        if self._end_us is not None and Holder.world.us >= self._end_us:
            self._done = True

    def _hear(self, heard):
        self._look()
        size = _ENTRY + len(heard.data)
        if self._done or heard.rssi < self._least or not _matches(heard.data, bytes(self._prefixes)):
            return
        if self._used + size > self._size:
            return
        entry = object.__new__(ScanEntry)
        entry._data = bytes(heard.data)
        entry._rssi = heard.rssi
        entry._connectable = heard.kind == ADV_IND
        # with extended advertising compiled in, a scannable advert is taken for a scan response
        entry._scan_response = Holder.world.ble.port == "espressif" and heard.kind in (ADV_IND, ADV_SCAN_IND)
        self._entries.append(entry)
        self._used += size


class Adapter:
    """The sole instance is adapter."""

    def __init__(self, *, uart, rts, cts):
        raise NotImplementedError("Cannot create a new Adapter; use _bleio.adapter;")

    @property
    def enabled(self):
        return Holder.world.ble.enabled

    @enabled.setter
    def enabled(self, on):
        ble = Holder.world.ble
        if on == ble.enabled:
            return
        if on and "enabled" in ble.refuse:
            raise ble.refuse["enabled"]
        ble.enabled = bool(on)
        ble.switched += 1
        ble.advertising = False
        Holder.world.radio.silence()
        if not on and ble.repairs:
            ble.refuse.clear()

    @property
    def advertising(self):
        return Holder.world.ble.advertising

    def start_advertising(
        self,
        data,
        *,
        scan_response=None,
        connectable=True,
        anonymous=False,
        timeout=0,
        interval=0.1,
        tx_power=0,
        directed_to=None,
    ):
        ble = Holder.world.ble
        if not 0.02 <= interval <= 10.24:
            raise ValueError("interval must be in range 0.02-10.24")
        assert len(data) <= _LEGACY and not anonymous and not timeout, "not in this fake"
        if ble.advertising:
            raise BluetoothError("Already advertising.")
        _refuse("start_advertising")
        kind = ADV_IND if connectable else ADV_SCAN_IND if scan_response else ADV_NONCONN_IND
        Holder.world.radio.advertise(int(interval * 1000000), bytes(data), kind)
        ble.advertising = True

    def stop_advertising(self):
        ble = Holder.world.ble
        if ble.port == "espressif":
            ble.advertising = False
        if not ble.enabled:
            return
        _refuse("stop_advertising")
        ble.advertising = False
        Holder.world.radio.stop()

    def start_scan(
        self,
        prefixes=b"",
        *,
        buffer_size=512,
        extended=False,
        timeout=None,
        interval=0.1,
        window=0.1,
        minimum_rssi=-80,
        active=True,
    ):
        ble = Holder.world.ble
        if not 0.0025 <= interval <= 40.959375:
            raise ValueError("interval must be in range 0.0025-40.959375")
        if timeout and timeout < interval:
            raise ValueError("non-zero timeout must be >= interval")
        if window > interval:
            raise ValueError("window must be <= interval")
        if not isinstance(prefixes, bytearray) and len(prefixes):
            raise ValueError("Prefix buffer must be on the heap")  # a constant may not be
        if buffer_size < 1:
            raise ValueError("buffer_size must be >= 1")
        if ble.results is not None:
            ble.results._look()
            if not ble.results._done:
                raise BluetoothError("Scan already in progress. Stop with stop_scan.")
            ble.results = None
        if ble.port == "nordic" and ble.advertising:
            raise BluetoothError("Unknown system firmware error: 0011")
        if "buffer" in ble.refuse:
            raise ble.refuse["buffer"]
        results = object.__new__(ScanResults)
        results._entries = []
        results._used = 0
        results._size = buffer_size
        results._prefixes = prefixes
        results._least = minimum_rssi
        results._done = False
        results._end_us = Holder.world.us + int(timeout * 1000000) if timeout else None
        ble.results = results
        try:
            _refuse("start_scan")
        except BaseException:
            if ble.port == "nordic":
                ble.results = None
            raise  # the other port keeps it, as if it were on
        ble.scans += 1
        Holder.world.radio.hear = results._hear
        Holder.world.radio.scan(30000, 30000)
        return results

    def stop_scan(self):
        ble = Holder.world.ble
        if ble.results is None:
            return
        if ble.enabled:
            Holder.world.radio.scan(30000, 0)
        ble.results._done = True
        ble.results = None


def _refuse(call):
    """Raises what this call is to be answered with."""
    ble = Holder.world.ble
    if not ble.enabled:
        raise BluetoothError("Unknown system firmware error: 30")
    if call in ble.refuse:
        raise ble.refuse[call]


def _matches(data, prefixes):
    """bleio_scanentry_data_matches() of shared-module/_bleio/ScanEntry.c, for any prefix."""
    if not prefixes:
        return True
    i = 0
    while i < len(prefixes):
        prefix = prefixes[i + 1 : i + 1 + prefixes[i]]
        j = 0
        while j < len(data):
            length = data[j]
            j += 1
            if length == 0:
                break
            if length >= len(prefix) and data[j : j + len(prefix)] == prefix:
                return True
            j += length
        i += 1 + len(prefix)
    return False


adapter = object.__new__(Adapter)
