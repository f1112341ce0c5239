"""Which clients of the listener may ask for operations, and as what.

Rules: nobody unless it is said: a token is what it was made for, a name of the password file or of a client's
certificate what [listener] `readers` and `operators` make of it, and everybody else nothing. Asked anew each time, so
that a token which is revoked ends at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from fieldline_gateway.mqtt.security import Who
from fieldline_gateway.operations import Caller, Role
from fieldline_gateway.web.tokens import MAX_SECRET, PREFIX, Tokens, TokensError, digest

DOOR = "mqtt"
"""`via` of a Caller that comes in here."""


class Callers:
    """mqtt.security.Keys on the page's tokens, and the roles of all clients."""

    def __init__(self, tokens: Tokens, readers: Iterable[str], operators: Iterable[str]) -> None:
        self._tokens = tokens
        self._roles = dict.fromkeys(readers, Role.READER) | dict.fromkeys(operators, Role.OPERATOR)

    def claims(self, password: bytes | None) -> bool:
        """Whether this has the form of a token."""
        return password is not None and password.startswith(PREFIX.encode()) and len(password) <= MAX_SECRET

    def find(self, password: bytes) -> Who | None:
        """The token's name; None where it is none."""
        proof = digest(password.decode(errors="replace"))
        holder = self._holder(proof)
        return None if holder is None else Who(holder.name, "token", proof)

    def good(self, who: Who) -> bool:
        """Whether its token still is one."""
        return self._holder(who.proof) is not None

    def caller(self, who: Who) -> Caller | None:
        """As whom this client asks; None: it may ask nothing."""
        if who.by == "token":
            return self._holder(who.proof)
        role = self._roles.get(who.name) if who.by else None
        return None if role is None else Caller(who.name, role, DOOR)

    def _holder(self, proof: str) -> Caller | None:
        try:
            found = self._tokens.holder_of(proof)
        except TokensError:
            return None  # the page says what is wrong with the file
        return None if found is None else Caller(found.name, found.role, DOOR)
