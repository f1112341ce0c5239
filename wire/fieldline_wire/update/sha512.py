"""SHA-512 (FIPS 180-4), which no MicroPython port has; as much as Ed25519 needs: a short message at once.

Rules: the constants are bytes, not 80 integers: they stay in flash where the code does. 64-bit words are long
integers on a node: a block of 128 bytes takes some 50 ms on an RP2040.
"""

import binascii

_MASK = 0xFFFFFFFFFFFFFFFF
# FIPS 180-4, 4.2.3: fractions of the cube roots of the first 80 primes
_K = binascii.unhexlify(
    "428a2f98d728ae227137449123ef65cdb5c0fbcfec4d3b2fe9b5dba58189dbbc3956c25bf348b53859f111f1b605d019"
    "923f82a4af194f9bab1c5ed5da6d8118d807aa98a303024212835b0145706fbe243185be4ee4b28c550c7dc3d5ffb4e2"
    "72be5d74f27b896f80deb1fe3b1696b19bdc06a725c71235c19bf174cf692694e49b69c19ef14ad2efbe4786384f25e3"
    "0fc19dc68b8cd5b5240ca1cc77ac9c652de92c6f592b02754a7484aa6ea6e4835cb0a9dcbd41fbd476f988da831153b5"
    "983e5152ee66dfaba831c66d2db43210b00327c898fb213fbf597fc7beef0ee4c6e00bf33da88fc2d5a79147930aa725"
    "06ca6351e003826f142929670a0e6e7027b70a8546d22ffc2e1b21385c26c9264d2c6dfc5ac42aed53380d139d95b3df"
    "650a73548baf63de766a0abb3c77b2a881c2c92e47edaee692722c851482353ba2bfe8a14cf10364a81a664bbc423001"
    "c24b8b70d0f89791c76c51a30654be30d192e819d6ef5218d69906245565a910f40e35855771202a106aa07032bbd1b8"
    "19a4c116b8d2d0c81e376c085141ab532748774cdf8eeb9934b0bcb5e19b48a8391c0cb3c5c95a634ed8aa4ae3418acb"
    "5b9cca4f7763e373682e6ff3d6b2b8a3748f82ee5defb2fc78a5636f43172f6084c87814a1f0ab728cc702081a6439ec"
    "90befffa23631e28a4506cebde82bde9bef9a3f7b2c67915c67178f2e372532bca273eceea26619cd186b8c721c0c207"
    "eada7dd6cde0eb1ef57d4f7fee6ed17806f067aa72176fba0a637dc5a2c898a6113f9804bef90dae1b710b35131c471b"
    "28db77f523047d8432caab7b40c724933c9ebe0a15c9bebc431d67c49c100d4c4cc5d4becb3e42b6597f299cfc657e2a"
    "5fcb6fab3ad6faec6c44198c4a475817"
)
# FIPS 180-4, 5.3.5: fractions of the square roots of the first 8
_START = binascii.unhexlify(
    "6a09e667f3bcc908bb67ae8584caa73b3c6ef372fe94f82ba54ff53a5f1d36f1510e527fade682d19b05688c2b3e6c1f"
    "1f83d9abfb41bd6b5be0cd19137e2179"
)


def sha512(data: bytes) -> bytes:
    """The digest of `data`, 64 bytes."""
    size = len(data)
    data = data + b"\x80" + bytes(-(size + 17) % 128) + (8 * size).to_bytes(16, "big")
    state = _words(_START)
    for at in range(0, len(data), 128):
        state = _block(state, _words(data[at : at + 128]))
    return b"".join([word.to_bytes(8, "big") for word in state])


def _words(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 8], "big") for at in range(0, len(data), 8)]


def _block(state: list[int], w: list[int]) -> list[int]:
    """One block of 16 words into the state (6.4.2). `w` is kept at 16 words: the schedule goes round."""
    a, b, c, d, e, f, g, h = state
    mask = _MASK
    for t in range(80):
        at = t & 15
        word = w[at]
        k = int.from_bytes(_K[8 * t : 8 * t + 8], "big")
        # A word twice in a row: a rotation is one shift of that.
        x = e << 64 | e
        t1 = h + ((x >> 14 ^ x >> 18 ^ x >> 41) & mask) + (g ^ e & (f ^ g)) + k + word
        x = a << 64 | a
        t2 = ((x >> 28 ^ x >> 34 ^ x >> 39) & mask) + (a & b ^ c & (a ^ b))
        h, g, f, e, d, c, b, a = g, f, e, (d + t1) & mask, c, b, a, (t1 + t2) & mask
        if t < 64:
            x = w[(t + 1) & 15]
            y = w[(t + 14) & 15]
            xx = x << 64 | x
            yy = y << 64 | y
            s0 = (xx >> 1 ^ xx >> 8) & mask ^ x >> 7
            s1 = (yy >> 19 ^ yy >> 61) & mask ^ y >> 6
            w[at] = (word + s0 + w[(t + 9) & 15] + s1) & mask
    return [(x + y) & mask for x, y in zip(state, (a, b, c, d, e, f, g, h))]
