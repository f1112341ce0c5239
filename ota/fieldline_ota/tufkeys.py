"""Our keys as TUF's: the adapter of securesystemslib.

Rules: Ed25519 alone; a key carries the name it was made under, which its id does not cover and nothing trusts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from securesystemslib.signer import Key, Signature, SSlibKey
from securesystemslib.signer import Signer as SslibSigner
from tuf.api.metadata import Metadata, Root

from fieldline_ota.errors import UsageError
from fieldline_ota.keystore import PublicKey
from fieldline_ota.release import Signer
from fieldline_wire.update import ed25519

NAME = "x-fieldline-name"


def tuf_key(key: PublicKey) -> SSlibKey:
    """As a TUF root has it."""
    made = SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(key.ed25519))
    made.unrecognized_fields[NAME] = key.name
    return made


def name_of(key: Key) -> str:
    """What people call it."""
    return str(key.unrecognized_fields.get(NAME, key.keyid[:16]))


def bytes_of(key: Key) -> bytes:
    """RFC 8032's 32 bytes."""
    return bytes.fromhex(key.keyval["public"])


class TufSigner(SslibSigner):
    """A Signer of ours where TUF wants one of its own."""

    def __init__(self, signer: Signer, key: Key) -> None:
        self._signer = signer
        self._key = key

    @property
    def public_key(self) -> Key:
        return self._key

    @classmethod
    def from_priv_key_uri(cls, priv_key_uri: str, public_key: Key, secrets_handler: Any = None) -> TufSigner:
        raise NotImplementedError("our keys are opened by keystore.py")

    def sign(self, payload: bytes) -> Signature:
        return Signature(self._key.keyid, self._signer.sign(payload).hex())


def signers_for(root: Root, role: str, given: Iterable[Signer]) -> list[TufSigner]:
    """Those of `given` whose keys have the role; UsageError where they are fewer than its threshold."""
    wanted = root.roles[role]
    keys = {bytes_of(root.keys[keyid]): root.keys[keyid] for keyid in wanted.keyids}
    found: dict[str, TufSigner] = {}
    for signer in given:
        key = keys.get(ed25519.compress(signer.public))
        if key is not None:
            found[key.keyid] = TufSigner(signer, key)
    if len(found) < wanted.threshold:
        names = ", ".join(sorted(name_of(key) for key in keys.values()))
        raise UsageError(f"{role} needs {wanted.threshold} of the keys {names}; {len(found)} given")
    return list(found.values())


def sign(metadata: Metadata[Any], signers: Sequence[TufSigner]) -> None:
    """Signs anew with exactly these."""
    metadata.signatures.clear()
    for signer in signers:
        metadata.sign(signer, append=True)
