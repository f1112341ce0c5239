"""ECDH on P-256 (FIPS 186-4, D.1.2.3) in plain integers, for a node that has no library for it.

Rules: used once for each provisioning, with a key pair made for it; its time depends on the key, so it is no
place for a long-lived one. The gateway uses its crypto library instead (the port is mesh/ports.py KeyPair).
"""

from fieldline_wire.errors import PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_GX = 0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296
_GY = 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5


class PlainKeyPair:
    """A key pair from `random(n)`, or from a given private key (32 bytes)."""

    __slots__ = ("_private", "public")

    def __init__(self, random: "Callable[[int], bytes]", private: bytes = b"") -> None:
        number = int.from_bytes(private or random(32), "big")
        while not 0 < number < _N:
            number = int.from_bytes(random(32), "big")
        self._private = number
        self.public = _bytes(_times(number, _GX, _GY))

    def secret(self, peer: bytes) -> bytes:
        """ECDH: X, 32 bytes. PeerError where `peer` is no point of the curve."""
        x, y = int.from_bytes(peer[:32], "big"), int.from_bytes(peer[32:], "big")
        if len(peer) != 64 or x >= _P or y >= _P or (y * y - x * x * x + 3 * x - _B) % _P:
            raise PeerError("a public key off the curve")
        return _bytes(_times(self._private, x, y))[:32]


def _bytes(point: "tuple[int, int]") -> bytes:
    return point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big")


def _times(number: int, x: int, y: int) -> "tuple[int, int]":
    """number x (x, y) in Jacobian coordinates: double and add from the top bit. The order is prime, number < n."""
    rx, ry, rz = x, y, 1
    bit = 1 << 255
    while not number & bit:
        bit >>= 1
    bit >>= 1
    while bit:
        rx, ry, rz = _double(rx, ry, rz)
        if number & bit:
            rx, ry, rz = _add(rx, ry, rz, x, y)
        bit >>= 1
    inverse = pow(rz, _P - 2, _P)
    square = inverse * inverse % _P
    return rx * square % _P, ry * square * inverse % _P


def _double(x: int, y: int, z: int) -> "tuple[int, int, int]":
    square = y * y % _P
    s = 4 * x * square % _P
    zz = z * z % _P
    m = 3 * (x - zz) * (x + zz) % _P
    rx = (m * m - 2 * s) % _P
    return rx, (m * (s - rx) - 8 * square * square) % _P, 2 * y * z % _P


def _add(x: int, y: int, z: int, ax: int, ay: int) -> "tuple[int, int, int]":
    """Adds an affine point; both are never equal or opposite, the number being below the order."""
    zz = z * z % _P
    h = (ax * zz - x) % _P
    r = (ay * zz * z - y) % _P
    hh = h * h % _P
    hhh = h * hh % _P
    v = x * hh % _P
    rx = (r * r - hhh - 2 * v) % _P
    return rx, (r * (v - rx) - y * hhh) % _P, z * h % _P
