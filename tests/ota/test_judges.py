"""Our signatures before other people's code: `cryptography`, `pyhsslms`, `pycose`; and theirs before ours."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from pycose.algorithms import CoseAlgorithm
from pycose.headers import Algorithm
from pycose.keys import OKPKey
from pycose.messages import CoseMessage
from pyhsslms.pyhsslms import (
    LmsPrivateKey,
    LmsPublicKey,
    lmots_sha256_n32_w4,
    lms_sha256_m32_h5,
    lms_sha256_m32_h10,
)

from fieldline_ota.points import affine
from fieldline_wire.update import ed25519, lms
from fieldline_wire.update.envelope import ED25519, LMS, open_envelope, to_be_signed
from fieldline_wire.update.sha512 import sha512
from tests.ota.material import image, keys, release


@given(st.binary(max_size=400))
def test_sha512_is_hashlibs(data: bytes) -> None:
    assert sha512(data) == hashlib.sha512(data).digest()


@settings(max_examples=30)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=300), st.integers(0, 511))
def test_ed25519_agrees_with_cryptography(seed: bytes, message: bytes, bit: int) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public = private.public_key().public_bytes_raw()
    key, signature = affine(public), private.sign(message)
    assert ed25519.compress(key) == public
    assert ed25519.verify(key, message, signature)
    wrong = bytearray(signature)
    wrong[bit // 8] ^= 1 << bit % 8
    assert not ed25519.verify(key, message, bytes(wrong))
    with pytest.raises(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(public).verify(bytes(wrong), message)


def test_ed25519_refuses_what_is_not_canonical() -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes(32))
    key, signature = affine(private.public_key().public_bytes_raw()), private.sign(b"x")
    order = 2**252 + 27742317777372353535851937790883648493
    larger = int.from_bytes(signature[32:], "little") + order
    assert not ed25519.verify(key, b"x", signature[:32] + larger.to_bytes(32, "little")), "S + L"
    assert not ed25519.verify(key, b"x", signature[:-1])
    assert not ed25519.verify(key[:-1], b"x", signature)
    assert not ed25519.verify(key[:63] + bytes([key[63] ^ 1]), b"x", signature), "a point off the curve"
    assert not ed25519.verify(bytes(64), b"x", signature)


# RFC 8032, 7.1, tests 1 to 3
RFC_8032 = (
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
)


@pytest.mark.parametrize(("public", "message", "signature"), RFC_8032)
def test_ed25519_of_rfc_8032(public: str, message: str, signature: str) -> None:
    assert ed25519.verify(affine(bytes.fromhex(public)), bytes.fromhex(message), bytes.fromhex(signature))


@pytest.fixture(scope="module")
def theirs() -> LmsPrivateKey:
    return LmsPrivateKey(lms_type=lms_sha256_m32_h10, lmots_type=lmots_sha256_n32_w4)


def test_pyhsslms_accepts_our_lms() -> None:
    key = keys("release").lms
    for message in (b"", b"abc", bytes(300)):
        signature = key.sign(message)
        judge = LmsPublicKey.deserialize(key.public)
        assert judge.verify(message, signature)
        assert not judge.verify(message + b"x", signature)


def test_we_accept_the_lms_of_pyhsslms(theirs: LmsPrivateKey) -> None:
    public = theirs.publicKey().serialize()
    for message in (b"", b"abc", bytes(300)):
        signature = theirs.sign(message)
        assert lms.verify(public, message, signature)
        assert not lms.verify(public, message + b"x", signature)
        for at in range(0, len(signature), 97):
            wrong = bytearray(signature)
            wrong[at] ^= 0x20
            assert not lms.verify(public, message, bytes(wrong)), at


def test_other_parameters_are_refused() -> None:
    other = LmsPrivateKey(lms_type=lms_sha256_m32_h5, lmots_type=lmots_sha256_n32_w4)
    assert not lms.verify(other.publicKey().serialize(), b"x", other.sign(b"x"))


@CoseAlgorithm.register_attribute()
class HssLms(CoseAlgorithm):
    """RFC 8778's number, which pycose 1.1 does not know."""

    identifier = -46
    fullname = "HSS_LMS"


def test_pycose_reads_the_envelope_and_judges_it() -> None:
    made = release(image("one"), 7)
    message = CoseMessage.decode(made.envelope)
    assert type(message).__name__ == "SignMessage"
    assert message.payload == made.manifest.to_bytes()
    first, second = message.signers
    assert first.phdr[Algorithm].fullname == "EDDSA" and second.phdr[Algorithm].fullname == "HSS_LMS"
    public = ed25519.compress(keys("release").ed25519.public)
    first.key = OKPKey(crv="ED25519", x=public)
    assert first.verify_signature()
    # pycose has no way to judge HSS-LMS: its structure, and pyhsslms's verification.
    judge = LmsPublicKey.deserialize(keys("release").lms.public)
    assert second.signature[:4] == bytes(4)
    assert judge.verify(second._create_sig_structure(), second.signature[4:])
    manifest = open_envelope(made.envelope)[0]
    assert second._create_sig_structure() == to_be_signed(LMS, manifest)
    assert first._create_sig_structure() == to_be_signed(ED25519, manifest)
