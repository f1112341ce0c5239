"""The device's side of the provisioning protocol (Mesh Profile 1.0.1, 5.4.2).

Rules: PDUs in, PDUs out; any step out of order, or a failure, ends it for good, and nothing was learnt by then:
`done` gets the data only after the provisioner proved that it knows the out-of-band value.
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


class Device:
    """One attempt. `static` is the 16-byte OOB value, empty for none: then it is taken in by anybody near.

    A device that has one refuses a provisioner that will not use it.
    """

    def __init__(
        self,
        aes: "Aes",
        keys: "KeyPair",
        random: "Callable[[int], bytes]",
        elements: int,
        static: bytes,
        send: "Callable[[int, bytes], None]",
        done: "Callable[[int, Data, bytes], None]",
    ) -> None:
        self._aes = aes
        self._keys = keys
        self._random = random(16)
        self._elements = elements
        self._static = static
        self._send = send
        self._done = done  # (now, data, device key)
        self._expected = pdus.INVITE
        self._inputs = b""
        self._secrets: Secrets | None = None
        self._theirs = b""  # the provisioner's confirmation
        self.attention = 0  # s, as the invite asked
        self.failed = 0  # an error code

    def receive(self, now: int, pdu: bytes) -> None:
        """A PDU from the provisioner. What is wrong with it is answered with Provisioning Failed."""
        if self.failed:
            return
        try:
            kind = pdus.check(pdu)
        except PeerError:
            self._fail(now, pdus.INVALID_FORMAT if pdu and pdu[0] <= pdus.FAILED else pdus.INVALID_PDU)
            return
        if kind == pdus.FAILED or kind != self._expected:
            self._fail(now, pdus.UNEXPECTED_PDU)
            return
        _STEPS[kind](self, now, pdu[1:])

    def _fail(self, now: int, code: int) -> None:
        self.failed = code
        self._secrets = None
        self._send(now, bytes((pdus.FAILED, code)))

    def _invite(self, now: int, data: bytes) -> None:
        self.attention = data[0]
        answer = Capabilities(self._elements, bool(self._static)).to_bytes()
        self._inputs = data + answer[1:]
        self._expected = pdus.START
        self._send(now, answer)

    def _start(self, now: int, data: bytes) -> None:
        method = pdus.METHOD_STATIC if self._static else pdus.METHOD_NONE
        if data != bytes((pdus.ALGORITHM_P256, 0, method, 0, 0)):
            self._fail(now, pdus.INVALID_FORMAT)
            return
        self._inputs += data
        self._expected = pdus.PUBLIC_KEY

    def _public_key(self, now: int, data: bytes) -> None:
        try:
            if data == self._keys.public:
                raise PeerError("our own public key came back")
            secret = self._keys.secret(data)
        except PeerError:
            self._fail(now, pdus.INVALID_FORMAT)
            return
        self._inputs += data + self._keys.public
        self._secrets = Secrets(self._aes, secret, self._inputs)
        self._expected = pdus.CONFIRMATION
        self._send(now, bytes((pdus.PUBLIC_KEY,)) + self._keys.public)

    def _confirmation(self, now: int, data: bytes) -> None:
        assert self._secrets is not None
        self._theirs = data
        ours = self._secrets.confirmation(self._random, self._static or NO_OOB)
        if ours == data:
            self._fail(now, pdus.CONFIRMATION_FAILED)
            return
        self._expected = pdus.RANDOM
        self._send(now, bytes((pdus.CONFIRMATION,)) + ours)

    def _random_came(self, now: int, data: bytes) -> None:
        assert self._secrets is not None
        right = self._secrets.confirmation(data, self._static or NO_OOB)
        if data == self._random or not same(right, self._theirs):
            self._fail(now, pdus.CONFIRMATION_FAILED)
            return
        self._secrets.randoms(data, self._random)
        self._expected = pdus.DATA
        self._send(now, bytes((pdus.RANDOM,)) + self._random)

    def _data(self, now: int, data: bytes) -> None:
        assert self._secrets is not None
        try:
            given = Data.from_bytes(self._secrets.open(data))
        except PeerError:
            self._fail(now, pdus.DECRYPTION_FAILED)
            return
        if given.address + self._elements - 1 > 0x7FFF:
            self._fail(now, pdus.CANNOT_ASSIGN)
            return
        self._expected = pdus.COMPLETE  # nothing more is expected of the provisioner
        self._done(now, given, self._secrets.device_key())
        self._send(now, bytes((pdus.COMPLETE,)))

    def _complete(self, now: int, data: bytes) -> None:
        self._fail(now, pdus.UNEXPECTED_PDU)  # it was ours to say, and nothing follows


_STEPS = {
    pdus.INVITE: Device._invite,
    pdus.START: Device._start,
    pdus.PUBLIC_KEY: Device._public_key,
    pdus.CONFIRMATION: Device._confirmation,
    pdus.RANDOM: Device._random_came,
    pdus.DATA: Device._data,
    pdus.COMPLETE: Device._complete,
}
