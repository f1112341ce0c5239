"""P-256 for provisioning on a host: fieldline_wire.mesh.ports.KeyPair over `cryptography`."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fieldline_wire.errors import PeerError

_POINT = b"\x04"
"""SEC 1, 2.3.3: an uncompressed point follows."""


class EcdhKeyPair:
    """A new key pair, for one provisioning."""

    def __init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())
        point = self._private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.public = point[1:]

    def secret(self, peer: bytes) -> bytes:
        """ECDH: X, 32 bytes. PeerError where `peer` is no point of the curve."""
        try:
            public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _POINT + peer)
        except ValueError:
            raise PeerError("a public key off the curve") from None
        return self._private.exchange(ec.ECDH(), public)
