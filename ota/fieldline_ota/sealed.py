"""Bytes in a file under a passphrase: scrypt (RFC 7914) and ChaCha20-Poly1305 (RFC 8439).

Rules: the header, with what the passphrase costs, is authenticated too. A wrong passphrase and a damaged file can't
be told apart. What a file asks of memory is bounded before it is given.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from fieldline_ota.errors import SigningError

MAGIC = b"FLSEALED"
LOG2_N = 17
"""128 MiB and some 0.4 s a guess: OWASP's password storage cheat sheet for scrypt, r = 8, p = 1."""

_HEADER = struct.Struct(">8sBBBB16s12s")  # magic, version, log2 N, r, p, salt, nonce
_VERSION, _R, _P = 1, 8, 1
_MAX_LOG2_N = 20  # 1 GiB: a file may not ask for more


def seal(data: bytes, passphrase: bytes, random: Callable[[int], bytes] = os.urandom) -> bytes:
    """`data` under `passphrase`; SigningError where that is empty."""
    if not passphrase:
        raise SigningError("the passphrase is empty")
    header = _HEADER.pack(MAGIC, _VERSION, LOG2_N, _R, _P, random(16), random(12))
    return header + _cipher(header, passphrase).encrypt(header[-12:], data, header)


def unseal(data: bytes, passphrase: bytes, name: str) -> bytes:
    """What seal() sealed; SigningError, which calls it `name`, for anything else."""
    header = data[: _HEADER.size]
    if len(header) < _HEADER.size or header[: len(MAGIC)] != MAGIC:
        raise SigningError(f"{name} is not sealed under a passphrase")
    _, version, log2_n, r, p, _, nonce = _HEADER.unpack(header)
    if version != _VERSION or not 1 <= log2_n <= _MAX_LOG2_N or (r, p) != (_R, _P):
        raise SigningError(f"{name} is sealed in a way that this version does not know")
    try:
        return _cipher(header, passphrase).decrypt(nonce, data[_HEADER.size :], header)
    except InvalidTag:
        raise SigningError(f"{name}: the passphrase is wrong, or the file is damaged") from None


def _cipher(header: bytes, passphrase: bytes) -> ChaCha20Poly1305:
    _, _, log2_n, r, p, salt, _ = _HEADER.unpack(header)
    return ChaCha20Poly1305(Scrypt(salt=salt, length=32, n=1 << log2_n, r=r, p=p).derive(passphrase))
