"""Who may talk to the listener: TLS, client certificates, user names with passwords.

Rules: a password is never kept, only its scrypt hash (RFC 7914); an unknown name takes as long as a wrong
password, and no comparison tells where the two differ. What is not on loopback is encrypted and asks who
comes, unless the person says otherwise.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import secrets
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from fieldline_gateway.mqtt.errors import MqttError

SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**14, 8, 1
"""16 MiB and some 50 ms a try on a small board: dear to guess at, bearable to check once a connection."""

MAX_SCRYPT_N = 2**17
"""128 MiB with r = 8: more than this a file must not make the gateway take."""

_SALT_BYTES = 16
_KEY_BYTES = 32

_HINT = "its lines are made by `fieldline gateway password NAME`"


@dataclass(frozen=True, slots=True)
class Who:
    """How a client proved who it is; without a name it did not."""

    name: str = ""
    """Of the password file, of the certificate (its common name), or of the token."""
    by: str = ""
    """"password", "certificate" or "token"."""
    proof: str = field(default="", repr=False)
    """Of a token: its digest, for a name may be given to another token later."""


NOBODY = Who()


class Keys(Protocol):
    """Secrets beside the password file: who gives one as the password is its holder, whatever user name it gives."""

    def claims(self, password: bytes | None) -> bool:
        """Whether this has the form of such a secret."""
        ...

    def find(self, password: bytes) -> Who | None:
        """Whose it is; None where it is nobody's."""
        ...

    def good(self, who: Who) -> bool:
        """Whether the secret with which this client came in still is one."""
        ...


class _Hash(NamedTuple):
    n: int
    r: int
    p: int
    salt: bytes
    key: bytes

    def of(self, password: bytes) -> bytes:
        memory = 129 * self.n * self.r  # what scrypt takes, and a little
        return hashlib.scrypt(
            password, salt=self.salt, n=self.n, r=self.r, p=self.p, maxmem=memory, dklen=_KEY_BYTES
        )


def hash_password(password: bytes) -> str:
    """A line's second half for the password file: scrypt$n$r$p$salt$hash."""
    salt = secrets.token_bytes(_SALT_BYTES)
    key = _Hash(SCRYPT_N, SCRYPT_R, SCRYPT_P, salt, b"").of(password)
    words = ("scrypt", str(SCRYPT_N), str(SCRYPT_R), str(SCRYPT_P), _base64(salt), _base64(key))
    return "$".join(words)


class Passwords:
    """Names and hashes. `check` takes some 50 ms of a core: never call it in an event loop."""

    def __init__(self, hashes: dict[str, _Hash]) -> None:
        self._hashes = hashes
        self._nobody = _Hash(
            SCRYPT_N, SCRYPT_R, SCRYPT_P, secrets.token_bytes(_SALT_BYTES), bytes(_KEY_BYTES)
        )
        self._secret = secrets.token_bytes(_KEY_BYTES)
        self._seen: dict[str, bytes] = {}  # name to a keyed hash of the right password, once it was given

    @classmethod
    def load(cls, path: Path) -> Passwords:
        """From a file of lines `name:scrypt$n$r$p$salt$hash`; MqttError names the line that is wrong."""
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise MqttError(f"the password file {path} cannot be read: {why}") from error
        hashes: dict[str, _Hash] = {}
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            name, _, text = line.strip().rpartition(":")
            found = _parse(text)
            if not name or found is None or name in hashes:
                what = "twice the same name" if name in hashes else "no name with a hash"
                raise MqttError(f"{path}:{number}: {what}; {_HINT}")
            hashes[name] = found
        if not hashes:
            raise MqttError(f"the password file {path} holds nobody; {_HINT}")
        return cls(hashes)

    @property
    def names(self) -> frozenset[str]:
        """Who is in the file."""
        return frozenset(self._hashes)

    def known(self, name: str | None, password: bytes | None) -> bool:
        """Whether `check` said yes to the same before; takes no time. False says nothing."""
        seen = self._seen.get(name or "")
        return seen is not None and hmac.compare_digest(seen, self._keyed(password or b""))

    def check(self, name: str | None, password: bytes | None) -> bool:
        """Whether this is the password of this name."""
        kept = self._hashes.get(name or "")
        right = hmac.compare_digest((kept or self._nobody).of(password or b""), (kept or self._nobody).key)
        if right and kept is not None:
            self._seen[name or ""] = self._keyed(password or b"")
            return True
        return False

    def _keyed(self, password: bytes) -> bytes:
        return hmac.digest(self._secret, password, "sha256")


@dataclass(frozen=True, slots=True)
class Security:
    """What a listener asks of its clients."""

    tls: ssl.SSLContext | None = None
    """From server_tls."""
    passwords: Passwords | None = None
    insecure: bool = False
    """The person said that a listener without TLS or without passwords may be reached from the network."""

    @property
    def asks_who(self) -> bool:
        """Whether somebody without password and certificate is turned away."""
        certain = self.tls is not None and self.tls.verify_mode == ssl.CERT_REQUIRED
        return certain or self.passwords is not None

    def check_bind(self, host: str) -> None:
        """MqttError where these terms are too weak for where the listener would be reached from."""
        if self.insecure or is_loopback(host):
            return
        missing = []
        if self.tls is None:
            missing.append("TLS (tls_cert and tls_key)")
        if not self.asks_who:
            missing.append("passwords (password_file) or client certificates (client_ca)")
        if missing:
            raise MqttError(
                f"the listener would be open to the network on {host or 'all addresses'} without "
                f"{' and without '.join(missing)}; add that, bind to 127.0.0.1, or say insecure = true"
            )


def server_tls(
    cert: Path, key: Path | None = None, client_ca: Path | None = None, client_certificates: str = "required"
) -> ssl.SSLContext:
    """TLS for the listener: its certificate, and the CA of clients' certificates, "required" or "optional"."""
    if client_certificates not in ("required", "optional"):
        raise MqttError(f'client certificates are "required" or "optional", not {client_certificates!r}')
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        what = f"the listener's certificate {cert}: {error.strerror or error}"
        raise MqttError(f"{what}; give PEM files, the key without a password") from error
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except (OSError, ssl.SSLError) as error:
            raise MqttError(
                f"the clients' CA {client_ca}: {error.strerror or error}; give a PEM file"
            ) from error
        wanted = client_certificates == "required"
        context.verify_mode = ssl.CERT_REQUIRED if wanted else ssl.CERT_OPTIONAL
    return context


def certified(certificate: dict[str, Any]) -> Who:
    """Whom a client's certificate names, as ssl.SSLSocket.getpeercert gives it."""
    for part in certificate.get("subject", ()):
        for key, value in part:
            if key == "commonName":
                return Who(value, "certificate")
    return NOBODY


def is_loopback(host: str) -> bool:
    """Whether only this machine gets there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _parse(text: str) -> _Hash | None:
    """A hash as hash_password writes it; None where it is none, or one that costs too much."""
    words = text.split("$")
    if len(words) != 6 or words[0] != "scrypt":
        return None
    try:
        n, r, p = map(int, words[1:4])
        salt, key = (base64.b64decode(word, validate=True) for word in words[4:])
    except ValueError:
        return None
    cheap = 2 <= n <= MAX_SCRYPT_N and n & n - 1 == 0 and 1 <= r <= 16 and 1 <= p <= 4
    return _Hash(n, r, p, salt, key) if cheap and len(key) == _KEY_BYTES and salt else None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
