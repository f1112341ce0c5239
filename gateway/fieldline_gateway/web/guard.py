"""Who asks, and what every answer carries: tokens, sessions, protection against other sites' pages.

Rules: a program sends its token as a Bearer credential, a browser a session's cookie that no script can read. What a
cookie asks for must come from the page itself (Origin), so that another site cannot use it. Every answer forbids
frames, foreign scripts and guessing of types. A secret is never logged.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from fieldline_gateway.operations import Caller
from fieldline_gateway.web.tokens import Holder, Tokens

DOOR = "page"
"""`via` of a Caller that comes in here."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), usb=(), serial=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guard:
    """Tells who a request comes from."""

    def __init__(self, tokens: Tokens, cookie: str, secure: bool) -> None:
        """`cookie`: its name, one for each gateway, since ports share cookies; `secure`: over TLS only."""
        self._tokens = tokens
        self._cookie = f"__Host-{cookie}" if secure else cookie
        self._secure = secure

    def caller(self, request: Request) -> Caller | None:
        """Who asks; None for nobody that is known. TokensError where the tokens cannot be read."""
        found = self._holder(request)
        return None if found is None else Caller(found.name, found.role, DOOR)

    def _holder(self, request: Request) -> Holder | None:
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self._tokens.holder(secret.strip())
        session = self.session(request)
        return self._tokens.session_holder(session) if session else None

    def session(self, request: Request) -> str:
        """The secret of the session that the browser sent, or nothing."""
        return request.cookies.get(self._cookie, "")

    def let_in(self, response: Response, session: str, seconds: int) -> None:
        """Give the browser its session."""
        response.set_cookie(
            self._cookie,
            session,
            max_age=seconds,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="strict",
        )

    def let_out(self, response: Response) -> None:
        """Take the session from the browser."""
        response.delete_cookie(self._cookie, path="/", secure=self._secure, httponly=True, samesite="strict")


def from_elsewhere(request: Request) -> bool:
    """Whether a browser asks for another site's page, so that its cookie is not the person's own wish.

    Fetch Metadata and Origin are set by browsers, and no page can forge them; a program with a Bearer token has
    neither, and needs none.
    """
    if request.headers.get("authorization", "").lower().startswith("bearer "):
        return False
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return True
    origin = request.headers.get("origin")
    if origin is None:
        return site is None  # no browser of today leaves out both
    return urlsplit(origin).netloc != request.headers.get("host")


class WithHeaders:
    """Adds HEADERS to all answers."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self._headers]
            await send(message)

        await self._app(scope, receive, sending)
