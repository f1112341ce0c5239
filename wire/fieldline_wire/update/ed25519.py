"""Ed25519 verification (RFC 8032, 5.1.7, cofactorless), for a node with long integers and nothing else.

Rules: a key comes with both coordinates (update.md 4.4), so that no square root is needed; R is compared as bytes.
One verification takes over a second on an RP2040: steps() gives the node back its time every few ms.
"""

from fieldline_wire.update.sha512 import sha512

KEY_SIZE = 64
SIGNATURE_SIZE = 64

_P = (1 << 255) - 19
_L = (1 << 252) + 27742317777372353535851937790883648493
_D = 37095705934669439343138083508754565189542113879843219016388785533085940283555
_2D = 2 * _D % _P
_BX = 15112221349535400772501151409588531511454012693041857206046113283949847762202
_BY = 46316835694926478169428394003475163141307993866256225615783033603165251855960


def compress(key: bytes) -> bytes:
    """RFC 8032's 32 bytes of a key of 64."""
    return bytes(key[32:63]) + bytes((key[63] | (key[0] & 1) << 7,))


def on_curve(key: bytes) -> bool:
    """Whether the 64 bytes are a point of the curve, in canonical form. Not whether its order is prime."""
    x, y = _coordinates(key)
    return (
        len(key) == KEY_SIZE and x < _P and y < _P and (y * y - x * x - 1 - _D * x * x % _P * y * y) % _P == 0
    )


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` (64 bytes) over `message` is right under `key` (64 bytes, x and y)."""
    return bool(list(steps(key, message, signature))[-1])


def steps(key: bytes, message: bytes, signature: bytes):  # type: ignore[no-untyped-def]
    """verify() in slices: a generator that gives None between them, and in the end True or False."""
    if len(signature) != SIGNATURE_SIZE or len(key) != KEY_SIZE:
        yield False
        return
    s = int.from_bytes(signature[32:], "little")
    if s >= _L or not on_curve(key):
        yield False
        return
    r = bytes(signature[:32])
    k = int.from_bytes(sha512(r + compress(key) + message), "little") % _L
    yield None
    x, y = _coordinates(key)
    of_key = _multiples(_P - x, y)
    of_base = _multiples(_BX, _BY)
    yield None
    digits = _wnaf(k), _wnaf(s)
    yield None
    x, y, z = 0, 1, 1
    p = _P
    for at in range(max(len(digits[0]), len(digits[1])) - 1, -1, -1):
        # dbl-2008-hwcd for a = -1; T only where an addition needs it
        a = x * x % p
        b = y * y % p
        e = x + y
        e = (e * e - a - b) % p
        g = b - a
        f = g - 2 * z * z % p
        h = -a - b
        x, y, z = e * f % p, g * h % p, f * g % p
        t = None
        for table, each in ((of_key, digits[0]), (of_base, digits[1])):
            digit = each[at] if at < len(each) else 0
            if digit:
                if t is None:
                    t = e * h % p
                # add-2008-hwcd-3 with the second point as (Y - X, Y + X, 2dT, 2Z)
                minus, plus, dt, zz = table[abs(digit) >> 1]
                if digit < 0:
                    minus, plus, dt = plus, minus, -dt
                a = (y - x) * minus % p
                b = (y + x) * plus % p
                c = t * dt % p
                d = z * zz % p
                e = b - a
                f = d - c
                g = d + c
                h = b + a
                x, y, z, t = e * f % p, g * h % p, f * g % p, e * h % p
        if not at & 7:
            yield None
    inverse = pow(z, p - 2, p)
    yield None
    x = x * inverse % p
    y = y * inverse % p
    yield (y | (x & 1) << 255).to_bytes(32, "little") == r


def _coordinates(key: bytes) -> tuple[int, int]:
    return int.from_bytes(key[:32], "little"), int.from_bytes(key[32:], "little")


def _multiples(x: int, y: int) -> list[tuple[int, int, int, int]]:
    """1, 3, ... 15 times the point, each as (Y - X, Y + X, 2dT, 2Z)."""
    p = _P
    t = x * y % p
    found = [((y - x) % p, (y + x) % p, t * _2D % p, 2)]
    # 2 P: dbl-2008-hwcd
    a = x * x % p
    b = y * y % p
    e = ((x + y) * (x + y) - a - b) % p
    g = b - a
    f = g - 2
    h = -a - b
    x2, y2, z2, t2 = e * f % p, g * h % p, f * g % p, e * h % p
    left, right, dt, zz = (y2 - x2) % p, (y2 + x2) % p, t2 * _2D % p, 2 * z2 % p
    z = 1
    for _ in range(7):
        a = (y - x) * left % p
        b = (y + x) * right % p
        c = t * dt % p
        d = z * zz % p
        e = b - a
        f = d - c
        g = d + c
        h = b + a
        x, y, z, t = e * f % p, g * h % p, f * g % p, e * h % p
        found.append(((y - x) % p, (y + x) % p, t * _2D % p, 2 * z % p))
    return found


def _wnaf(number: int) -> list[int]:
    """Digits of width 5, the lowest first: 0, or odd and between -15 and 15."""
    digits = []
    while number:
        digit = 0
        if number & 1:
            digit = number & 31
            if digit > 15:
                digit -= 32
            number -= digit
        digits.append(digit)
        number >>= 1
    return digits
