"""A Wi-Fi station. Simulated: there is one network, it takes every name and key, and leads to the host (socket.py)."""

STA_IF = 0
AP_IF = 1


class WLAN:
    def __init__(self, interface=STA_IF):
        if interface != STA_IF:
            raise OSError(95)  # EOPNOTSUPP
        self._active = False
        self._connected = False

    def active(self, on=None):
        if on is None:
            return self._active
        self._active = bool(on)
        self._connected = self._connected and self._active

    def connect(self, ssid=None, key=None, *, bssid=None):
        if not self._active:
            raise OSError(1)
        self._connected = True

    def disconnect(self):
        self._connected = False

    def isconnected(self):
        return self._connected
