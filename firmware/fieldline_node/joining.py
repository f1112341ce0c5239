"""A device that waits to be taken into a mesh: unprovisioned device beacons, and PB-ADV (docs/mesh.md 12.9).

Rules: loaded only while the board is in no mesh; what it was given is in the journal before it says Complete; then
the board restarts, which frees all of this. A key pair is used for one attempt. An attempt that fails leaves nothing.
"""

from fieldline_node import given
from fieldline_node.errors import IdentityError, StorageError
from fieldline_wire.codes import const
from fieldline_wire.errors import UsageError
from fieldline_wire.mesh.advertiser import AD_BEACON, AD_PB_ADV, Advertiser
from fieldline_wire.mesh.announce import Unprovisioned, node_uuid
from fieldline_wire.mesh.provisioning.device import Device
from fieldline_wire.mesh.provisioning.p256 import PlainKeyPair
from fieldline_wire.mesh.provisioning.pbadv import CLOSE_FAIL, Link

_ELEMENTS = const(1)  # of the node that it becomes: links/mesh.py
_BEACON_MS = const(1000)  # a gateway lists who was heard in the last minute
_SPACING_MS = const(20)
_STATIC_BYTES = const(16)


class _KeyPair:
    """The port KeyPair of wire/mesh/ports.py; `used`: its secret was asked for."""

    __slots__ = ("_pair", "public", "used")

    def __init__(self, random) -> None:
        self._pair = PlainKeyPair(random)
        self.public = self._pair.public
        self.used = False

    def secret(self, peer: bytes) -> bytes:
        self.used = True
        return self._pair.secret(peer)


class Joining:
    """One board's wait. `ended`: it is a member and the provisioner knows it: restart.

    unkept: attempts that flash did not take.
    """

    __slots__ = (
        "_aes",
        "_air",
        "_beacon",
        "_beacon_at",
        "_device",
        "_due",
        "_journal",
        "_keys",
        "_link",
        "_now_ms",
        "_random",
        "_static",
        "_uuid",
        "bearer",
        "ended",
        "joined",
        "unkept",
    )
    stirred = False  # it has nothing for the app

    def __init__(self, bearer, uuid: bytes, static: bytes, journal, aes, random, now_ms) -> None:
        self.bearer = bearer
        self._uuid = uuid
        self._static = static
        self._journal = journal
        self._aes = aes
        self._random = random
        self._now_ms = now_ms
        self._air = Advertiser(lambda: int.from_bytes(random(2), "big"))
        self._beacon = Unprovisioned(uuid).to_bytes()
        self._beacon_at = 0
        self._due = 0
        self._keys = _KeyPair(random)
        self.joined = self.ended = False
        self.unkept = 0
        self._begin()

    def work(self, now: int) -> int:
        """Takes adverts, does what time brings about, sends the next advert; ms until it is to be called again."""
        bearer = self.bearer
        advert = bearer.take()
        if advert is None and now < self._due:
            return self._due - now
        while advert is not None:
            if advert[0] == AD_PB_ADV:
                self._receive(advert[1])
            advert = bearer.take()
        self._link.poll(now)
        if not self._link.is_open and now >= self._beacon_at:
            self._beacon_at = now + _BEACON_MS
            self._air.put(now, AD_BEACON, self._beacon, 1, _SPACING_MS, True)
        wait = bearer.poll(now)
        if bearer.ready:
            advert = self._air.next(now)
            if advert is not None:
                bearer.send(now, *advert)
                wait = bearer.poll(now)
        if bearer.ready:
            wait = min(wait, self._air.wait_ms(now, self._link.wait_ms(now)))
            if not self._link.is_open:
                wait = min(wait, max(0, self._beacon_at - now))
        self._due = now + wait
        return wait

    def _begin(self) -> None:
        """Waits for the next attempt."""
        if self._keys.used:
            self._keys = _KeyPair(self._random)
        self._device = Device(
            self._aes, self._keys, self._random, _ELEMENTS, self._static, self._say, self._given
        )
        self._link = Link(False, self._uuid, self._put, self._opened, self._heard, self._closed)

    def _receive(self, data: bytes) -> None:
        now = self._now_ms()
        try:
            self._link.receive(now, data)
        except (StorageError, UsageError):
            self.unkept += 1
            self._link.close(now, CLOSE_FAIL)

    def _put(self, now: int, data: bytes) -> None:
        self._air.put(now, AD_PB_ADV, data, 1, _SPACING_MS, True)

    def _opened(self, now: int) -> None:
        pass

    def _heard(self, now: int, pdu: bytes) -> None:
        self._device.receive(now, pdu)

    def _say(self, now: int, pdu: bytes) -> None:
        self._link.send(now, pdu)

    def _given(self, now: int, data, device_key: bytes) -> None:
        flags = data.iv_update, data.key_refresh
        given.keep(
            self._journal, data.address, device_key, data.net_key, data.net_index, data.iv_index, flags
        )
        self.joined = True

    def _closed(self, now: int, reason: int) -> None:
        if self.joined:
            self.ended = True
        else:
            self._begin()


def make_joining(said: dict, node_id: bytes, bearer, journal, aes, random, now_ms) -> Joining:
    """The wait that /mesh.json asks for. IdentityError where the file says what cannot be.

    `said`: its content; `bearer`: ports.py; `aes`: class of the wire's Block; `random(n)`: n bytes.
    """
    try:
        static = bytes.fromhex(said.get("static_oob", ""))
    except (ValueError, TypeError) as error:
        raise IdentityError("static_oob: %s" % error) from None
    if len(static) not in (0, _STATIC_BYTES):
        raise IdentityError("static_oob has %d bytes, not %d" % (len(static), _STATIC_BYTES))
    return Joining(bearer, node_uuid(node_id), static, journal, aes, random, now_ms)
