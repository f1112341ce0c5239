"""bluetooth of MicroPython v1.23, as far as advertising and scanning go. SIMULATED: the air is the host's (air/live.py).

As extmod/modbluetooth.c and its NimBLE and BTstack ports do:
- connectable=False sends ADV_SCAN_IND (adv_type 2), not ADV_NONCONN_IND;
- gap_advertise(us, None) says again what was said before; an interval below 20 ms is refused;
- gap_scan() without more listens 11.25 ms of each 1.28 s;
- what an IRQ gives is of the module: tuple and memoryviews hold something else after the handler has returned;
- a handler that raises is reported and gets nothing any more.
No services, no connections: these raise OSError 95 (EOPNOTSUPP).
"""

import _hw
import json
from uctypes import addressof

if not _hw.has_radio:
    raise ImportError("no module named 'bluetooth'")

_IRQ_SCAN_RESULT = 5
_IRQ_SCAN_DONE = 6
_ADV_IND = 0
_ADV_SCAN_IND = 2
_RANDOM = 1
_MOST = 31
_SHORTEST_US = 20000
_ENODEV = 19
_EINVAL = 22
_STALE = 0xA5  # what a view shows that was kept

_only = None


def _tell(**what):
    _hw.radio_tell(json.dumps(what))


class BLE:
    def __new__(cls):
        global _only
        if _only is None:
            _only = object.__new__(cls)
            _only._start()
        return _only

    def _start(self):
        self._active = False
        self._handler = None
        self._address = bytearray(6)
        self._data = bytearray(_MOST)
        self._views = memoryview(self._address), memoryview(self._data)
        self._said = b""
        self._config = {
            "gap_name": b"MPY BLE",
            "mtu": 256,
            "bond": False,
            "mitm": False,
            "io": 3,
            "le_secure": False,
        }
        _hw.radio_open(addressof(self._address), addressof(self._data))

    def active(self, on=None):
        if on is None:
            return self._active
        if bool(on) != self._active:
            self._active = bool(on)
            _hw.radio_irq(self._heard if on else None)
            if not on:
                _tell(do="silence")
        return self._active

    def config(self, *names, **values):
        if names:
            if names[0] == "mac":
                self._check()
                return _RANDOM, bytes.fromhex(_hw.radio_address)
            if len(names) != 1 or names[0] not in self._config:
                raise ValueError("unknown config param")
            return self._config[names[0]]
        for name, value in values.items():
            if name == "rxbuf":
                if not 16 <= value <= 0xFFFF:
                    raise ValueError
            elif name in self._config:
                self._config[name] = value
            elif name != "addr_mode":
                raise ValueError("unknown config param")

    def irq(self, handler):
        if handler is not None and not callable(handler):
            raise ValueError("invalid handler")
        self._handler = handler

    def gap_advertise(self, interval_us=500000, adv_data=None, *, resp_data=None, connectable=True):
        if interval_us is None:
            if self._active:
                _tell(do="stop")
            return
        self._check()
        if adv_data is not None:
            if len(adv_data) > _MOST:
                raise OSError(_EINVAL)
            self._said = bytes(adv_data)
        if not _SHORTEST_US <= interval_us <= 10240000:
            raise OSError(_EINVAL)
        kind = _ADV_IND if connectable else _ADV_SCAN_IND
        _tell(do="advertise", interval_us=interval_us, data=self._said.hex(), kind=kind)

    def gap_scan(self, duration_ms=0, interval_us=1280000, window_us=11250, active=False):
        self._check()
        if duration_ms is None:
            _tell(do="scan", interval_us=1, window_us=0)
            if self._handler is not None:
                self._handler(_IRQ_SCAN_DONE, ())
            return
        if duration_ms:
            raise OSError(95)  # SIMULATION DETAIL: nobody ends a scan here but the program
        if not 2500 <= window_us <= interval_us <= 10240000:
            raise OSError(_EINVAL)
        _tell(do="scan", interval_us=interval_us, window_us=window_us)

    def _check(self):
        if not self._active:
            raise OSError(_ENODEV)

    def _heard(self, kind, rssi, size):
        if self._handler is None:
            return
        address, data = self._views
        try:
            self._handler(_IRQ_SCAN_RESULT, (_RANDOM, address, kind, rssi, data[:size]))
        except BaseException:
            self._handler = None
            raise
        finally:
            for buffer in (self._address, self._data):
                for at in range(len(buffer)):
                    buffer[at] = _STALE

    def _refused(self, *args, **kwargs):
        raise OSError(95)

    gap_connect = gap_disconnect = gap_pair = gap_passkey = gatts_register_services = _refused
