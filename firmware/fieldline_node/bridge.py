"""A mesh bridge: adverts from the air to a serial line and back (wire.md 2.6). No node: it measures nothing.

Rules: it has no keys and looks into nothing; what does not fit its queue is dropped and counted; in one step no more
adverts go to the line than came, and one to the air.
"""

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError
from fieldline_wire.mesh.bridge import WANT_RSSI, BridgeState, advert, heard, read_advert
from fieldline_wire.serial import KIND_ADVERT, KIND_BRIDGE, KIND_HEARD

BRIDGE_QUEUE = const(32)  # adverts for the air: a whole segmented message; 12 ms each
_STATE_MS = const(5000)
_LOOK_MS = const(5)  # neither the air nor, on some hosts, the line wakes it


class Bridge:
    """`hardware`, `bearer`: ports.py; `line`: a SerialLink for BRIDGE_KINDS; `name`: the board's."""

    __slots__ = (
        "_bearer",
        "_dropped",
        "_hardware",
        "_heard",
        "_line",
        "_name",
        "_queue",
        "_sent",
        "_state_at",
        "_tells_rssi",
    )

    def __init__(self, hardware, bearer, line, name: str) -> None:
        self._hardware = hardware
        self._bearer = bearer
        self._line = line
        self._name = name
        self._queue = []
        self._heard = 0
        self._sent = 0
        self._dropped = 0
        self._state_at = 0
        self._tells_rssi = False  # not before the gateway says that it reads it

    def step(self, now: int) -> int:
        """Passes on what came at `now` (ms since the start); ms until the next step. OSError where the line fails."""
        self._hardware.feed()
        for kind, payload in self._line.frames(now):
            if kind == KIND_ADVERT:
                self._put(payload)
            elif kind == KIND_BRIDGE and not payload:
                self._state_at = now
            elif kind == KIND_BRIDGE and payload == WANT_RSSI:
                self._tells_rssi = True
        bearer = self._bearer
        came = bearer.take()
        while came is not None:
            self._heard += 1
            if self._tells_rssi:
                self._line.frame(KIND_HEARD, heard(*came))
            else:
                self._line.frame(KIND_ADVERT, advert(came[0], came[1]))
            came = bearer.take()
        bearer.poll(now)
        if bearer.ready and self._queue:
            bearer.send(now, *self._queue.pop(0))
            self._sent += 1
        if now >= self._state_at:
            self._state_at = now + _STATE_MS
            self._line.frame(KIND_BRIDGE, self._state(now).to_bytes())
        return _LOOK_MS

    def _put(self, payload: bytes) -> None:
        try:
            one = read_advert(payload)
        except PeerError:
            self._dropped += 1
            return
        if len(self._queue) >= BRIDGE_QUEUE:
            self._dropped += 1
        else:
            self._queue.append(one)

    def _state(self, now: int) -> BridgeState:
        free = BRIDGE_QUEUE - len(self._queue)
        lost = self._bearer.lost
        return BridgeState(now // 1000, self._heard, lost, self._sent, self._dropped, free, self._name)
