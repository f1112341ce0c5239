"""The second coordinate of an Ed25519 public key, which a node is spared (update.md 4.4; RFC 8032, 5.1.3).

Rules: the host's only; a node is given both.
"""

from __future__ import annotations

from fieldline_ota.errors import SigningError

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P


def affine(public: bytes) -> bytes:
    """x | y (64 bytes) of RFC 8032's 32 bytes; SigningError where they are no point."""
    if len(public) != 32:
        raise SigningError(f"an Ed25519 public key of {len(public)} bytes")
    sign = public[31] >> 7
    y = int.from_bytes(public, "little") & (1 << 255) - 1
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if x * x % _P != square:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    if y >= _P or x * x % _P != square or (x == 0 and sign):
        raise SigningError("an Ed25519 public key that is no point of the curve")
    if x & 1 != sign:
        x = _P - x
    return x.to_bytes(32, "little") + y.to_bytes(32, "little")
