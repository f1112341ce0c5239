"""The secrets of one provisioning: confirmations, session key, device key (Mesh Profile 1.0.1, 5.4.2).

Rules: what is confirmed is every PDU up to the public keys, in the order of 5.4.2.4; nothing is used twice.
"""

from fieldline_wire import ccm
from fieldline_wire.mesh.crypto import cmac, k1, s1

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.mesh.crypto import Aes

NO_OOB = bytes(16)


class Secrets:
    """`inputs`: invite, capabilities, start without their types, then both public keys: 145 bytes."""

    __slots__ = ("_aes", "_key", "_salt", "_secret", "_session_salt")

    def __init__(self, aes: "Aes", secret: bytes, inputs: bytes) -> None:
        self._aes = aes
        self._secret = secret
        self._salt = s1(aes, inputs)
        self._key = aes(k1(aes, secret, self._salt, b"prck"))
        self._session_salt = b""

    def confirmation(self, random: bytes, auth: bytes) -> bytes:
        """5.4.2.4; `auth` is 16 bytes, NO_OOB without an out-of-band value."""
        return cmac(self._key, random + auth)

    def randoms(self, provisioner: bytes, device: bytes) -> None:
        """Both have shown their random numbers: the session can be keyed (5.4.2.5)."""
        self._session_salt = s1(self._aes, self._salt + provisioner + device)

    def seal(self, data: bytes) -> bytes:
        """The provisioning data encrypted, with its MIC."""
        return ccm.seal(self._aes(self._derive(b"prsk")), self._derive(b"prsn")[3:], b"", data, 8)

    def open(self, data: bytes) -> bytes:
        """The provisioning data; PeerError where the MIC is wrong."""
        return ccm.open(self._aes(self._derive(b"prsk")), self._derive(b"prsn")[3:], b"", data, 8)

    def device_key(self) -> bytes:
        """The new node's device key."""
        return self._derive(b"prdk")

    def _derive(self, text: bytes) -> bytes:
        return k1(self._aes, self._secret, self._session_salt, text)
