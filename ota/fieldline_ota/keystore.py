"""Keys by name in a folder: NAME.pub for everyone; NAME.ed25519 or NAME.token, and NAME.lms, under a passphrase.

Rules: a private key is never in the clear on disk: Ed25519 as encrypted PKCS#8 (RFC 5958) or in a token, LMS sealed
(sealed.py) with its state beside it (signer.py). Nothing is ever written over.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from fieldline_ota import hsm, signer
from fieldline_ota.errors import SigningError, UsageError
from fieldline_ota.files import write_new
from fieldline_ota.points import affine
from fieldline_ota.release import Ed25519Signer, KeyPair, Signer
from fieldline_wire.update.lms import KEY_HEAD, KEY_SIZE

PUBLIC, ED25519, TOKEN, LMS = ".pub", ".ed25519", ".token", ".lms"
MIN_PASSPHRASE = 8
"""Characters: what the scrypt of sealed.py makes of fewer is guessed in hours."""

Secret = Callable[[str], bytes]
"""Gives the passphrase of a key file, or the PIN of a token, by what it is asked for."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What NAME.pub says. `ed25519`: 32 bytes (RFC 8032); `lms`: 56 bytes, b"" for a key that signs TUF alone."""

    name: str
    ed25519: bytes
    lms: bytes

    @property
    def pair(self) -> tuple[bytes, bytes]:
        """As a holder or release key stands in a node's root document; UsageError for an Ed25519 key alone."""
        if not self.lms:
            raise UsageError(f"{self.name} is an Ed25519 key alone; a root holder or release key is a pair")
        return affine(self.ed25519), self.lms

    def to_json(self) -> str:
        values = {"format": 1, "name": self.name, "ed25519": self.ed25519.hex(), "lms": self.lms.hex()}
        return json.dumps(values, indent=1) + "\n"


def read_public(path: Path) -> PublicKey:
    """The public key at `path`, with or without .pub; SigningError where there is none."""
    file = _named(path, PUBLIC)
    try:
        found = json.loads(file.read_bytes())
        key = PublicKey(found["name"], bytes.fromhex(found["ed25519"]), bytes.fromhex(found["lms"]))
    except OSError as error:
        raise SigningError(f"{file}: {error.strerror}; `fieldline ota keygen` makes a key") from None
    except (ValueError, KeyError, TypeError):
        raise SigningError(f"{file} is no public key of `fieldline ota keygen`") from None
    affine(key.ed25519)
    if key.lms and (len(key.lms) != KEY_SIZE or key.lms[: len(KEY_HEAD)] != KEY_HEAD):
        raise SigningError(f"{file}: the LMS key is not of the parameters of update.md 4.3")
    return key


def make(
    path: Path,
    secret: Secret,
    *,
    pair: bool = True,
    token: tuple[str, str] | None = None,
    random: Callable[[int], bytes] = os.urandom,
) -> PublicKey:
    """Makes the key `path`. `token`: (PKCS#11 library, token label) to have the Ed25519 key made there."""
    for suffix in (PUBLIC, ED25519, TOKEN, LMS):
        if _named(path, suffix).exists():
            raise SigningError(
                f"{_named(path, suffix)} exists: a key is never written over; choose another name"
            )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    passphrase = b""
    if pair or token is None:
        passphrase = secret(f"new passphrase of {path}")
        if len(passphrase) < MIN_PASSPHRASE:
            raise UsageError(
                f"the passphrase has {len(passphrase)} characters; {MIN_PASSPHRASE} are the least"
            )
    lms = signer.create(_named(path, LMS), random, passphrase) if pair else b""
    if token is None:
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase))
        write_new(_named(path, ED25519), pem, mode=0o600)
        public = key.public_key().public_bytes_raw()
    else:
        place = hsm.Place(*token, path.name)
        public = hsm.make(place, secret(f"PIN of token {place.token}").decode())
        write_new(_named(path, TOKEN), (json.dumps(asdict(place), indent=1) + "\n").encode(), mode=0o600)
    made = PublicKey(path.name, public, lms)
    write_new(_named(path, PUBLIC), made.to_json().encode(), mode=0o644)  # last: then the key is whole
    return made


@contextmanager
def open_pair(path: Path, secret: Secret) -> Iterator[KeyPair]:
    """Both keys of `path`, for as long as the `with` lasts; SigningError."""
    public = read_public(path)
    first = public.pair[0]
    with ExitStack() as stack:
        ed25519 = stack.enter_context(open_ed25519(path, secret))
        passphrase = secret(f"passphrase of {_bare(path)}")
        lms = stack.enter_context(signer.LmsSigner(_named(path, LMS), passphrase=passphrase))
        if (ed25519.public, lms.public) != (first, public.lms):
            raise SigningError(f"{_named(path, PUBLIC)} does not belong to the private keys beside it")
        yield KeyPair(ed25519, lms)


@contextmanager
def open_ed25519(path: Path, secret: Secret) -> Iterator[Signer]:
    """The Ed25519 key of `path`; SigningError."""
    path = _bare(path)
    token = _named(path, TOKEN)
    if token.exists():
        place = _place(token)
        with hsm.open_signer(place, secret(f"PIN of token {place.token}").decode()) as opened:
            yield opened
        return
    file = _named(path, ED25519)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SigningError(f"{file}: {error.strerror}; `fieldline ota keygen` makes a key") from None
    try:
        key = load_pem_private_key(data, secret(f"passphrase of {path}"))
    except ValueError:
        raise SigningError(f"{file}: the passphrase is wrong, or the file is damaged") from None
    except TypeError:
        raise SigningError(f"{file} is not encrypted; it was not made by `fieldline ota keygen`") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningError(f"{file} is no Ed25519 key")
    yield Ed25519Signer(key)


def leaves_left(path: Path) -> int:
    """Signatures that the LMS key of `path` can still make; SigningError."""
    return signer.LmsSigner(_named(path, LMS)).left


def _place(file: Path) -> hsm.Place:
    try:
        found = cast("dict[str, Any]", json.loads(file.read_bytes()))
        return hsm.Place(found["module"], found["token"], found["label"])
    except (OSError, ValueError, KeyError, TypeError):
        raise SigningError(f"{file} does not say which token has the key") from None


def _named(path: Path, suffix: str) -> Path:
    path = _bare(path)
    return path.with_name(path.name + suffix)


def _bare(path: Path) -> Path:
    """`path` without the ending of one of a key's files: keys/ann.pub means keys/ann."""
    for suffix in (PUBLIC, ED25519, TOKEN, LMS):
        if path.name.endswith(suffix):
            return path.with_name(path.name.removesuffix(suffix))
    return path
