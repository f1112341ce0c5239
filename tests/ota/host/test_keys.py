"""Keys on disk and in a token: sealed, never written over, and an LMS leaf that signs once whatever happens."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fieldline_ota import hsm, keystore, sealed, signer
from fieldline_ota.errors import SigningError, UsageError
from fieldline_ota.keystore import read_public
from fieldline_wire.update import ed25519, lms
from tests.ota.host.conftest import PASSPHRASE, Desk

SIGN = "import sys; from fieldline_cli.ota import main; sys.exit(main(sys.argv[1:]))"


def secret(text: str = PASSPHRASE) -> keystore.Secret:
    return lambda what: text.encode()


def test_both_keys_of_a_pair_sign(desk: Desk) -> None:
    public = read_public(desk.key("ann"))
    with keystore.open_pair(desk.key("ann"), secret()) as pair:
        assert pair.public == public.pair
        assert ed25519.verify(public.pair[0], b"x", pair.ed25519.sign(b"x"))
        assert lms.verify(public.lms, b"x", pair.lms.sign(b"x"))


def test_signing_says_how_many_signatures_are_left(desk: Desk) -> None:
    folder = desk.release(1)
    (folder / "envelope.cose").unlink()
    said = desk.run("sign", folder, "--key", desk.key("release"))
    assert "signed by release, which has 1022 left" in said
    assert "is signed already" in desk.run("sign", folder, "--key", desk.key("release"), status=2)


def test_nothing_secret_is_readable_on_disk(desk: Desk) -> None:
    for suffix in (".ed25519", ".lms", ".lms.used"):
        assert desk.key("ann" + suffix).stat().st_mode & 0o077 == 0
    sealed_key = desk.key("ann.lms").read_bytes()
    opened = sealed.unseal(sealed_key, PASSPHRASE.encode(), "ann")
    seed = opened[8 + 16 : 8 + 48]
    assert opened.startswith(b"FLMSKEY1") and seed not in sealed_key
    assert b"ENCRYPTED PRIVATE KEY" in desk.key("ann.ed25519").read_bytes()


def test_a_wrong_passphrase_and_damage_are_said(desk: Desk) -> None:
    with (
        pytest.raises(SigningError, match="passphrase is wrong"),
        keystore.open_pair(desk.key("ann"), secret("no")),
    ):
        pass
    for suffix in (".lms", ".ed25519"):
        file = desk.key("ben" + suffix)
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    with pytest.raises(SigningError, match="damaged"), keystore.open_ed25519(desk.key("ben"), secret()):
        pass
    with (
        pytest.raises(SigningError, match="damaged"),
        signer.LmsSigner(desk.key("ben.lms"), passphrase=PASSPHRASE.encode()),
    ):
        pass


def test_a_file_may_not_ask_for_all_memory(desk: Desk) -> None:
    data = bytearray(desk.key("ann.lms").read_bytes())
    data[9] = 40  # log2 N
    with pytest.raises(SigningError, match="does not know"):
        sealed.unseal(bytes(data), PASSPHRASE.encode(), "ann.lms")


def test_keys_are_not_written_over_and_short_passphrases_not_taken(desk: Desk) -> None:
    assert "never written over" in desk.run("keygen", desk.key("online"), "--ed25519-only", status=1)
    with pytest.raises(UsageError, match="8 are the least"):
        keystore.make(desk.key("new"), secret("short"), pair=False)
    assert not list(desk.key("new").parent.glob("new*"))


def test_a_public_key_that_is_not_its_private_keys_is_found(desk: Desk) -> None:
    desk.key("ann.pub").write_bytes(desk.key("ben.pub").read_bytes())
    with pytest.raises(SigningError, match="does not belong"), keystore.open_pair(desk.key("ann"), secret()):
        pass


def test_without_a_terminal_the_way_out_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FIELDLINE_OTA_PASSPHRASE")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert "--passphrase-file" in desk.run("keygen", desk.key("new"), "--ed25519-only", status=2)
    file = desk.folder / "passphrase"
    file.write_text("another horse\n")
    desk.run("keygen", desk.key("new"), "--ed25519-only", "--passphrase-file", file)
    with keystore.open_ed25519(desk.key("new"), secret("another horse")) as opened:
        assert len(opened.sign(b"x")) == 64


def test_a_killed_signing_burns_a_leaf_and_uses_none_twice(desk: Desk) -> None:
    """The real command, killed at ever later times; what it wrote, if anything, has a leaf of its own."""
    folder = desk.release(1)
    envelope = folder / "envelope.cose"
    seen = [leaf_of(envelope)]
    words = [sys.executable, "-c", SIGN, "sign", str(folder), "--key", str(desk.key("release"))]
    used = desk.key("release.lms.used")
    killed = after_use = 0
    for turn in range(40):
        envelope.unlink(missing_ok=True)
        before = used.read_bytes()
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while used.read_bytes() == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.0005)
        time.sleep(0.0008 * turn)  # from the moment that the leaf is used up on disk
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        assert used.read_bytes() != before, "the leaf was used up"
        if envelope.exists():
            seen.append(leaf_of(envelope))
        else:
            after_use += 1
        if after_use >= 3 and len(seen) >= 3:
            break
    assert killed and after_use, "some were killed between the leaf's use and its signature on disk"
    envelope.unlink(missing_ok=True)
    desk.run("sign", folder, "--key", desk.key("release"))
    seen.append(leaf_of(envelope))
    assert len(set(seen)) == len(seen) and seen == sorted(seen)


def leaf_of(envelope: Path) -> int:
    return int.from_bytes(envelope.read_bytes()[-lms.SIGNATURE_SIZE :][:4], "big")


LIBRARIES = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path("/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"),
)


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """SoftHSM2's library, with a token 'release' whose PIN is 1234."""
    library = next((path for path in LIBRARIES if path.exists()), None)
    if library is None:
        pytest.skip("SoftHSM2 is not installed (Debian: softhsm2): keys in a token are not tested")
    folder = tmp_path_factory.mktemp("hsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(
        f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        words = [
            "softhsm2-util",
            "--init-token",
            "--free",
            "--label",
            "release",
            "--so-pin",
            "0000",
            "--pin",
            "1234",
        ]
        subprocess.run(words, check=True, capture_output=True)
        yield str(library)


def test_an_ed25519_key_in_a_token_signs_and_stays_there(
    desk: Desk, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIELDLINE_OTA_PIN", "1234")
    desk.run("keygen", desk.key("deep"), "--ed25519-only", "--pkcs11", token, "--token", "release")
    assert not desk.key("deep.ed25519").exists()
    public = read_public(desk.key("deep"))
    with keystore.open_ed25519(desk.key("deep"), lambda what: b"1234") as opened:
        signature = opened.sign(b"a release")
        Ed25519PublicKey.from_public_bytes(public.ed25519).verify(signature, b"a release")
        with pytest.raises(InvalidSignature):
            Ed25519PublicKey.from_public_bytes(public.ed25519).verify(signature, b"another")
        assert ed25519.compress(opened.public) == public.ed25519
    with (
        pytest.raises(SigningError, match="token"),
        keystore.open_ed25519(desk.key("deep"), lambda what: b"9999"),
    ):
        pass
    place = hsm.Place(token, "release", "deep")
    with pytest.raises(SigningError, match="never written over"):
        hsm.make(place, "1234")
    with (
        pytest.raises(SigningError, match="no key 'other'"),
        hsm.open_signer(hsm.Place(token, "release", "other"), "1234"),
    ):
        pass


def test_a_token_signs_the_repositorys_snapshot_and_timestamp(
    desk: Desk, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIELDLINE_OTA_PIN", "1234")
    desk.run("keygen", desk.key("online-hsm"), "--ed25519-only", "--pkcs11", token, "--token", "release")
    draft = desk.folder / "root.draft"
    desk.run(
        "rotate", desk.repo, "--out", draft, "--vendor", "acme", "--threshold", 1, "--holder", desk.key("ann"),
        "--release", desk.key("release"), "--online", desk.key("online-hsm"),
    )  # fmt: skip
    desk.sign_root(draft, "ann", online="online-hsm")
    assert "timestamp 1" in desk.run("verify", desk.repo)


def test_a_library_that_is_none_is_said(desk: Desk) -> None:
    with pytest.raises(SigningError, match="nowhere"):
        hsm.make(hsm.Place("/nowhere/lib.so", "t", "k"), "1234")
