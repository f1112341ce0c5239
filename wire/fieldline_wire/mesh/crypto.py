"""The security toolbox of Bluetooth Mesh (Mesh Profile 1.0.1, 3.8.2) over an injected AES block.

Rules: `aes` makes a Block (ports.py) of a 16-byte key; ECB and CBC are all that is asked of it.
"""

from fieldline_wire.ccm import xor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from fieldline_wire.ports import Block

    Aes = Callable[[bytes], Block]

KEY_SIZE = 16
ZERO = bytes(16)


def cmac(block: "Block", data: bytes) -> bytes:
    """AES-CMAC (RFC 4493) of `data`, 16 bytes: one ECB and one CBC call."""
    subkey = _double(block.ecb(ZERO))
    start = max(0, (len(data) - 1) // 16 * 16)
    last = data[start:]
    if len(last) < 16:
        subkey = _double(subkey)
        last += b"\x80" + bytes(15 - len(last))
    return block.cbc(ZERO, data[:start] + xor(last, subkey))[-16:]


def s1(aes: "Aes", text: bytes) -> bytes:
    """SALT generation (3.8.2.4)."""
    return cmac(aes(ZERO), text)


def k1(aes: "Aes", secret: bytes, salt: bytes, text: bytes) -> bytes:
    """Derivation function k1 (3.8.2.5): 16 bytes."""
    return cmac(aes(cmac(aes(salt), secret)), text)


def k2(aes: "Aes", key: bytes, text: bytes) -> "tuple[int, bytes, bytes]":
    """k2 (3.8.2.6): NID, EncryptionKey, PrivacyKey. `text` is 00 for the network itself."""
    block = aes(cmac(aes(s1(aes, b"smk2")), key))
    first = cmac(block, text + b"\x01")
    second = cmac(block, first + text + b"\x02")
    return first[15] & 0x7F, second, cmac(block, second + text + b"\x03")


def k3(aes: "Aes", key: bytes) -> bytes:
    """k3 (3.8.2.7): the 8-byte Network ID."""
    return cmac(aes(cmac(aes(s1(aes, b"smk3")), key)), b"id64\x01")[8:]


def k4(aes: "Aes", key: bytes) -> int:
    """k4 (3.8.2.8): the 6-bit AID of an application key."""
    return cmac(aes(cmac(aes(s1(aes, b"smk4")), key)), b"id6\x01")[15] & 0x3F


def _double(block: bytes) -> bytes:
    """Times x in GF(2^128) (RFC 4493 2.3)."""
    value = int.from_bytes(block, "big") << 1
    if block[0] & 0x80:
        value = value & (1 << 128) - 1 ^ 0x87
    return value.to_bytes(16, "big")
