"""Tokens: who may use the page and its API, as what; and the sessions that a login with one begins.

Rules: a secret is shown once, when it is made; the file has SHA-256 digests only (a secret has 256 random bits, so
there is nothing to guess that a slow hash would make dearer). Digests are compared in constant time, all of them
at each try. The file is its owner's alone (0600), written whole and renamed; what another process wrote counts at the
next look. A token that is revoked ends its sessions at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fieldline_gateway.errors import GatewayError, UsageError
from fieldline_gateway.operations import Role

PREFIX = "fieldline_"
"""So that a scanner for secrets in repositories can find one that got lost."""
SECRET_BYTES = 32
MAX_SECRET = 100
"""Characters that are looked at; a token has 53."""
MAX_TOKENS = 100
"""People and programs of one gateway; each try is compared with all."""
MAX_SESSIONS = 200
"""Browsers at once; the one that ends first is forgotten for a new one."""
SESSION_S = {Role.READER: 90 * 86_400, Role.OPERATOR: 12 * 3600}
"""A display on the wall stays in; what can change things is asked for again each day."""
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class TokensError(GatewayError):
    """The file of tokens cannot be used."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token, without its secret."""

    name: str
    role: str
    digest: str
    made_ms: int


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that somebody logged in with a token."""

    token: str
    digest: str
    until_ms: int


@dataclass(frozen=True, slots=True)
class Holder:
    """Who a secret belongs to."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class _File:
    tokens: tuple[Token, ...] = ()
    sessions: tuple[Session, ...] = ()


def new_secret() -> str:
    """A token's secret, to be shown once."""
    return PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def digest(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


class Tokens:
    """The tokens in a file."""

    def __init__(self, path: Path, utc_ms: Callable[[], int]) -> None:
        self._path = path
        self._utc_ms = utc_ms
        self._seen: tuple[int, int, int] | None = None
        self._content = _File()

    def add(self, name: str, role: str, secret_digest: str) -> None:
        """Keep a new token. UsageError: a wrong or known name, an unknown role, too many."""
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r}: a token's name has 1 to 64 letters, digits, '.', '_' or '-'")
        if role.upper() not in Role.__members__:
            raise UsageError(f"a token is for a reader or an operator, not {role!r}")
        if not re.fullmatch(r"[0-9a-f]{64}", secret_digest):
            raise UsageError("the digest of a token is 64 hexadecimal digits")
        with self._changing() as content:
            if any(token.name == name for token in content.tokens):
                raise UsageError(f"there is a token {name!r}; revoke it first, or take another name")
            if len(content.tokens) >= MAX_TOKENS:
                raise UsageError(f"there are {MAX_TOKENS} tokens; revoke those that nobody needs")
            token = Token(name, role.lower(), secret_digest, self._utc_ms())
            self._write(replace(content, tokens=(*content.tokens, token)))

    def revoke(self, name: str) -> None:
        """Nobody gets in with it any more. UsageError where there is none."""
        with self._changing() as content:
            kept = tuple(token for token in content.tokens if token.name != name)
            if len(kept) == len(content.tokens):
                known = ", ".join(token.name for token in content.tokens) or "none"
                raise UsageError(f"there is no token {name!r}; there are: {known}")
            sessions = tuple(session for session in content.sessions if session.token != name)
            self._write(_File(kept, sessions))

    def listed(self) -> list[dict[str, Any]]:
        """Names, roles and how many browsers are logged in; no digests."""
        content = self._read()
        now_ms = self._utc_ms()
        return [
            {
                "name": token.name,
                "role": token.role,
                "made_ms": token.made_ms,
                "sessions": sum(
                    session.token == token.name and session.until_ms > now_ms for session in content.sessions
                ),
            }
            for token in content.tokens
        ]

    def holder(self, secret: str) -> Holder | None:
        """Whose token this is."""
        return self._owner(self._read(), digest(secret)) if len(secret) <= MAX_SECRET else None

    def holder_of(self, secret_digest: str) -> Holder | None:
        """The same of a secret that was given before."""
        return self._owner(self._read(), secret_digest)

    def log_in(self, secret: str) -> tuple[str, Holder, int] | None:
        """(session secret, holder, seconds that it is good for); None where the token is none."""
        holder = self.holder(secret)
        if holder is None:
            return None
        session, now_ms, seconds = secrets.token_urlsafe(SECRET_BYTES), self._utc_ms(), SESSION_S[holder.role]
        new = Session(holder.name, digest(session), now_ms + seconds * 1000)
        with self._changing() as content:
            kept = [each for each in content.sessions if each.until_ms > now_ms]
            kept = sorted([*kept, new], key=lambda each: each.until_ms)
            while len(kept) > MAX_SESSIONS:
                kept.remove(next(each for each in kept if each is not new))
            self._write(replace(content, sessions=tuple(kept)))
        return session, holder, seconds

    def log_out(self, session: str) -> None:
        """End a session; one that is none is no error."""
        gone = digest(session)
        with self._changing() as content:
            kept = tuple(each for each in content.sessions if not hmac.compare_digest(each.digest, gone))
            self._write(replace(content, sessions=kept))

    def session_holder(self, session: str) -> Holder | None:
        """Whose session this is, while it and its token are good."""
        if len(session) > MAX_SECRET:
            return None
        content, wanted, now_ms, found = self._read(), digest(session), self._utc_ms(), None
        for each in content.sessions:
            if hmac.compare_digest(each.digest, wanted) and each.until_ms > now_ms:
                found = each
        if found is None:
            return None
        for token in content.tokens:
            if token.name == found.token:
                return Holder(token.name, Role[token.role.upper()])
        return None

    @staticmethod
    def _owner(content: _File, wanted: str) -> Holder | None:
        found = None
        for token in content.tokens:  # all of them, whichever it is
            if hmac.compare_digest(token.digest, wanted):
                found = Holder(token.name, Role[token.role.upper()])
        return found

    # --- the file

    def _read(self) -> _File:
        """The content as it is on disk now; read again where it changed."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._seen, self._content = None, _File()
            return self._content
        except OSError as error:
            raise TokensError(f"{self._path}: {error.strerror}") from error
        seen = (found.st_ino, found.st_mtime_ns, found.st_size)
        if seen == self._seen:
            return self._content
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise TokensError(f"{self._path} may be read by others: run chmod 600 {self._path}")
        try:
            content = _parse(self._path.read_text())
        except OSError as error:
            raise TokensError(f"{self._path}: {error.strerror}") from error
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise TokensError(
                f"{self._path} is damaged: remove it, and make the tokens anew with `fieldline gateway token add`"
            ) from None
        self._seen, self._content = seen, content
        return content

    @contextmanager
    def _changing(self) -> Iterator[_File]:
        """The content, which nobody else changes while this is entered."""
        try:
            fd = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise TokensError(f"{self._path}: {error.strerror}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield self._read()
        finally:
            os.close(fd)

    def _write(self, content: _File) -> None:
        new = self._path.with_suffix(".new")
        text = json.dumps(asdict(content), indent=1)
        try:
            new.unlink(missing_ok=True)
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            new.rename(self._path)
        except OSError as error:
            raise TokensError(f"{self._path}: {error.strerror}") from error
        self._seen = None


def _parse(text: str) -> _File:
    told = json.loads(text)
    tokens = tuple(Token(**each) for each in told["tokens"])
    if any(token.role.upper() not in Role.__members__ for token in tokens):
        raise ValueError("role")
    return _File(tokens, tuple(Session(**each) for each in told["sessions"]))
