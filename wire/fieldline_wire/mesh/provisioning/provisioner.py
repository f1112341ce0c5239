"""The provisioner's side of the provisioning protocol (Mesh Profile 1.0.1, 5.4.2).

Rules: as device.py. A device that gives our own key, confirmation or random number back proves nothing and is
refused (CVE-2020-26560). Addresses are given out once the device has said how many elements it has.
"""

from fieldline_wire.ccm import same
from fieldline_wire.errors import PeerError
from fieldline_wire.mesh.provisioning import pdus
from fieldline_wire.mesh.provisioning.pdus import Capabilities, Data
from fieldline_wire.mesh.provisioning.security import NO_OOB, Secrets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from fieldline_wire.mesh.crypto import Aes
    from fieldline_wire.mesh.ports import KeyPair


class Provisioner:
    """One attempt. `data(elements, device_key)` gives the Data for a device of so many elements, whose key it may
    have to store first: from when the Data is sent the device may be a node. `static`: the device's OOB value.

    `done(now, data, device_key)` when the device says it is complete; `failed(now, why)` when it is not.
    """

    def __init__(
        self,
        aes: "Aes",
        keys: "KeyPair",
        random: "Callable[[int], bytes]",
        static: bytes,
        send: "Callable[[int, bytes], None]",
        data: "Callable[[int, bytes], Data]",
        done: "Callable[[int, Data, bytes], None]",
        failed: "Callable[[int, str], None]",
    ) -> None:
        self._aes = aes
        self._keys = keys
        self._random = random(16)
        self._static = static
        self._send = send
        self._data = data
        self._done = done
        self._failed = failed
        self._expected = -1
        self._inputs = b""
        self._elements = 0
        self._ours = b""
        self._theirs = b""
        self._secrets: Secrets | None = None
        self._given: Data | None = None

    def start(self, now: int, attention: int = 0) -> None:
        """The link is open: invites the device."""
        self._inputs = bytes((attention,))
        self._expected = pdus.CAPABILITIES
        self._send(now, bytes((pdus.INVITE, attention)))

    def receive(self, now: int, pdu: bytes) -> None:
        """A PDU from the device."""
        if self._expected < 0:
            return
        try:
            kind = pdus.check(pdu)
            if kind == pdus.FAILED:
                raise PeerError("the device says: error %d" % pdu[1])
            if kind != self._expected:
                raise PeerError("PDU %d instead of %d" % (kind, self._expected))
            _STEPS[kind](self, now, pdu[1:])
        except PeerError as error:
            self._expected = -1
            self._secrets = None
            self._failed(now, str(error))

    def _capabilities(self, now: int, data: bytes) -> None:
        found = Capabilities.from_bytes(bytes((pdus.CAPABILITIES,)) + data)
        if self._static and not found.static_oob:
            raise PeerError("the device has no static OOB value, and one was asked for")
        self._elements = found.elements
        start = bytes(
            (pdus.ALGORITHM_P256, 0, pdus.METHOD_STATIC if self._static else pdus.METHOD_NONE, 0, 0)
        )
        self._inputs += data + start
        self._expected = pdus.PUBLIC_KEY
        self._send(now, bytes((pdus.START,)) + start)
        self._send(now, bytes((pdus.PUBLIC_KEY,)) + self._keys.public)

    def _public_key(self, now: int, data: bytes) -> None:
        if data == self._keys.public:
            raise PeerError("our own public key came back")
        self._inputs += self._keys.public + data
        self._secrets = Secrets(self._aes, self._keys.secret(data), self._inputs)
        self._ours = self._secrets.confirmation(self._random, self._static or NO_OOB)
        self._expected = pdus.CONFIRMATION
        self._send(now, bytes((pdus.CONFIRMATION,)) + self._ours)

    def _confirmation(self, now: int, data: bytes) -> None:
        if data == self._ours:
            raise PeerError("our own confirmation came back")
        self._theirs = data
        self._expected = pdus.RANDOM
        self._send(now, bytes((pdus.RANDOM,)) + self._random)

    def _random_came(self, now: int, data: bytes) -> None:
        assert self._secrets is not None
        right = self._secrets.confirmation(data, self._static or NO_OOB)
        if data == self._random or not same(right, self._theirs):
            raise PeerError("the device's confirmation is wrong: another device, or another OOB value")
        self._secrets.randoms(self._random, data)
        self._given = self._data(self._elements, self._secrets.device_key())
        self._expected = pdus.COMPLETE
        self._send(now, bytes((pdus.DATA,)) + self._secrets.seal(self._given.to_bytes()))

    def _complete(self, now: int, data: bytes) -> None:
        assert self._secrets is not None and self._given is not None
        self._expected = -1
        self._done(now, self._given, self._secrets.device_key())


_STEPS = {
    pdus.CAPABILITIES: Provisioner._capabilities,
    pdus.PUBLIC_KEY: Provisioner._public_key,
    pdus.CONFIRMATION: Provisioner._confirmation,
    pdus.RANDOM: Provisioner._random_came,
    pdus.COMPLETE: Provisioner._complete,
}
