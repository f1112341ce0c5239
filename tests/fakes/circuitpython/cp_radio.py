"""A radio in the world's time, for the fake _bleio (runs on MicroPython and CircuitPython too).

Rules: it looks to its user as a station of the simulated live air (boards/fieldline_boards/emulated/air/live.py),
which can stand in its place. An event is told to `on_event(kind, data)` when it is on air.
"""

ADV_IND, ADV_SCAN_IND, ADV_NONCONN_IND = 0, 2, 3
START_US = 600  # from the command to the first event
DELAY_US = 5000  # the mean of the random delay added to each interval


class Heard:
    """An advert as a scanner reports it."""

    def __init__(self, data, rssi=-60, kind=ADV_NONCONN_IND, sender=b"\xc0\x51\x00\x00\x00\x01"):
        self.data = data
        self.rssi = rssi
        self.kind = kind
        self.sender = sender


class Radio:
    """One radio."""

    def __init__(self):
        self.hear = None  # who gets what it receives
        self.on_event = None
        self.silence()

    def silence(self):
        """Without power: neither sends nor hears."""
        self._told = self._next = None
        self.listening = 0

    def advertise(self, interval_us, data, kind=ADV_NONCONN_IND):
        self._told = interval_us + DELAY_US, bytes(data), kind
        self._next = None

    def stop(self):
        self._told = None

    def scan(self, interval_us, window_us):
        """Listens for `window_us` of each interval; 0 ends it."""
        self.listening = window_us / interval_us

    def say(self, heard):
        """Somebody near says it."""
        if self.listening and self.hear is not None:
            self.hear(heard)

    def advance(self, now_us):
        """It is `now_us`."""
        while self._told is not None:
            pause, data, kind = self._told
            if self._next is None:
                self._next = now_us + START_US
            if self._next > now_us:
                return
            self._next += pause
            if self.on_event is not None:
                self.on_event(kind, data)


class Ble:
    """What the adapter of a chip remembers until its next start; see _bleio.py. `port`: whose rules it keeps."""

    def __init__(self, port):
        self.port = port
        self.workflow = False
        self.enabled = False
        self.advertising = False
        self.results = None  # of the scan
        self.refuse = {}  # name of a call: the exception that it raises; "enabled" too
        self.repairs = True  # switching it off and on ends what it refuses
        self.scans = 0
        self.switched = 0
