"""An Ed25519 key that stays in a token (PKCS#11 3.0, 2.3: CKK_EC_EDWARDS, CKM_EDDSA); the adapter of python-pkcs11.

Rules: the private key is made in the token and can't be taken out. A session lasts as long as the `with`. LMS keys
are not here: no token that we could try has CKM_HSS, and one that is copied would use a leaf twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fieldline_ota.errors import SigningError
from fieldline_ota.points import affine

_CURVE = bytes.fromhex("130c656477617264733235353139")  # PrintableString "edwards25519": PKCS#11 3.0, 2.3.5
_POINT_SIZE = 32
_OCTET_STRING = b"\x04\x20"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key is: the PKCS#11 library, the token's label, the key's label."""

    module: str
    token: str
    label: str


class HsmSigner:
    """An Ed25519 key in an open session."""

    def __init__(self, key: Any, point: bytes) -> None:
        self._key = key
        self._point = point

    @property
    def public(self) -> bytes:
        """Both coordinates, 64 bytes."""
        return affine(self._point)

    def sign(self, message: bytes) -> bytes:
        """64 bytes; SigningError where the token gives none that is right."""
        pkcs11 = _library()
        try:
            signature = bytes(self._key.sign(message, mechanism=pkcs11.Mechanism.EDDSA))
            Ed25519PublicKey.from_public_bytes(self._point).verify(signature, message)
        except pkcs11.PKCS11Error as error:
            raise SigningError(f"the token does not sign: {_said(error)}") from None
        except InvalidSignature:
            raise SigningError("the token's signature is not one of its public key's") from None
        return signature


def make(place: Place, pin: str) -> bytes:
    """Makes the key in its token; its public key in RFC 8032's form. SigningError where there is one already."""
    pkcs11 = _library()
    with _session(place, pin, write=True) as session:
        if any(session.get_objects({pkcs11.Attribute.LABEL: place.label})):
            raise SigningError(
                f"the token '{place.token}' has a key '{place.label}': it is never written over"
            )
        parameters = session.create_domain_parameters(
            pkcs11.KeyType.EC_EDWARDS, {pkcs11.Attribute.EC_PARAMS: _CURVE}, local=True
        )
        public, _ = parameters.generate_keypair(
            mechanism=pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN, store=True, label=place.label
        )
        return _point(public)


@contextmanager
def open_signer(place: Place, pin: str) -> Iterator[HsmSigner]:
    """The signer of a key in its token."""
    pkcs11 = _library()
    with _session(place, pin, write=False) as session:
        try:
            key = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label=place.label)
            public = session.get_key(object_class=pkcs11.ObjectClass.PUBLIC_KEY, label=place.label)
        except pkcs11.PKCS11Error as error:
            raise SigningError(
                f"the token '{place.token}' has no key '{place.label}': {_said(error)}"
            ) from None
        yield HsmSigner(key, _point(public))


@contextmanager
def _session(place: Place, pin: str, *, write: bool) -> Iterator[Any]:
    pkcs11 = _library()
    try:
        token = pkcs11.lib(place.module).get_token(token_label=place.token)
        opened = token.open(rw=write, user_pin=pin)
    except (pkcs11.PKCS11Error, RuntimeError) as error:
        raise SigningError(f"{place.module}, token '{place.token}': {_said(error)}") from None
    with opened as session:
        try:
            yield session
        except pkcs11.PKCS11Error as error:
            raise SigningError(f"{place.module}, token '{place.token}': {_said(error)}") from None


def _point(public: Any) -> bytes:
    """RFC 8032's 32 bytes; tokens give them as they are or in a DER OCTET STRING (PKCS#11 3.0, 2.3.5)."""
    point = bytes(public[_library().Attribute.EC_POINT])
    if len(point) == _POINT_SIZE + len(_OCTET_STRING) and point.startswith(_OCTET_STRING):
        point = point[len(_OCTET_STRING) :]
    if len(point) != _POINT_SIZE:
        raise SigningError(f"the token gives a public key of {len(point)} bytes, which is no Ed25519 key")
    return point


def _library() -> Any:
    try:
        import pkcs11
    except ModuleNotFoundError:
        raise SigningError("a key in a token needs python-pkcs11: pip install 'fieldline[hsm]'") from None
    return pkcs11


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
