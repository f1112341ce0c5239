"""The page's addresses: the page itself, its API, events, metrics.

Rules: an operation's rights are checked by Operations.call and nowhere else; here is only told who asks. Bodies are
JSON and bounded. An error of the gateway becomes one line of JSON, one of this program is logged and says nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from fieldline_gateway import logs
from fieldline_gateway.errors import ForbiddenError, GatewayError, UsageError
from fieldline_gateway.operations import Caller, Operations
from fieldline_gateway.slices import dumps
from fieldline_gateway.web import metrics
from fieldline_gateway.web.events import Events
from fieldline_gateway.web.files import START, PageFiles
from fieldline_gateway.web.guard import App, Guard, WithHeaders, from_elsewhere
from fieldline_gateway.web.tokens import Tokens, TokensError

MAX_BODY = 1024 * 1024
"""Bytes; the longest is a command for 30,000 nodes named one by one."""
MAX_LOGIN = 1024
NO_STORE = {"Cache-Control": "no-store"}
WHO = "send a token: `Authorization: Bearer TOKEN`; `fieldline gateway token add NAME` makes one"

log = logging.getLogger(__name__)


class _Refused(Exception):
    """What is answered instead."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Routes:
    """Answers requests."""

    def __init__(
        self,
        operations: Operations,
        tokens: Tokens,
        guard: Guard,
        events: Events,
        held: Callable[[], str | None],
    ) -> None:
        """`held`: why the store takes nothing, or None."""
        self._operations = operations
        self._tokens = tokens
        self._guard = guard
        self._events = events
        self._held = held
        self._files = PageFiles()

    def app(self) -> App:
        """The ASGI application."""
        answer = self._answering
        return WithHeaders(
            Starlette(
                routes=[
                    Route("/", self._start),
                    Route("/static/{path:path}", self._static),
                    Route("/login", answer(self._log_in), methods=["POST"]),
                    Route("/logout", answer(self._log_out), methods=["POST"]),
                    Route("/me", answer(self._me)),
                    Route("/api/events", answer(self._stream)),
                    Route("/api/{operation}", answer(self._call), methods=["POST"]),
                    Route("/metrics", answer(self._metrics)),
                    Route("/healthz", answer(self._health)),
                ]
            )
        )

    def _answering(
        self, run: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """What is answered where `run` cannot."""

        async def answering(request: Request) -> Response:
            try:
                return await run(request)
            except _Refused as refused:
                return _error(refused.status, str(refused))
            except TokensError as error:
                logs.event(logs.ERROR, "page-tokens-failed", error=error)
                return _error(503, "the gateway cannot read its tokens; its log says why")
            except UsageError as error:
                return _error(400, str(error))
            except ForbiddenError as error:
                return _error(403, str(error))
            except GatewayError as error:
                return _error(503, str(error))
            except Exception:
                log.exception("page-failed", extra={"fields": {"path": request.url.path}})
                return _error(500, "the gateway failed at this; its log says where")

        return answering

    async def _start(self, request: Request) -> Response:
        if not self._files.whole:
            return Response(
                "this installation lacks the page's npm packages: run scripts/setup, then install again\n",
                503,
                media_type="text/plain",
            )
        return self._files.answer(START, request)

    async def _static(self, request: Request) -> Response:
        return self._files.answer(request.path_params["path"], request)

    async def _log_in(self, request: Request) -> Response:
        told = await _json(request, MAX_LOGIN)
        secret = told.get("token")
        found = await asyncio.to_thread(self._tokens.log_in, secret) if isinstance(secret, str) else None
        if found is None:
            logs.event(logs.WARNING, "page-login-refused", client=_client(request))
            raise _Refused(401, "this token is not known here; look at `fieldline gateway token list`")
        session, holder, seconds = found
        logs.event(logs.INFO, "page-login", token=holder.name, client=_client(request))
        response = JSONResponse({"name": holder.name, "role": holder.role.name.lower()}, headers=NO_STORE)
        self._guard.let_in(response, session, seconds)
        return response

    async def _log_out(self, request: Request) -> Response:
        if from_elsewhere(request):
            raise _Refused(403, "another site's page may not ask this")
        await asyncio.to_thread(self._tokens.log_out, self._guard.session(request))
        response = JSONResponse({}, headers=NO_STORE)
        self._guard.let_out(response)
        return response

    async def _me(self, request: Request) -> Response:
        caller = self._caller(request)
        role = caller.role
        told = {"name": caller.name, "role": role.name.lower(), "operations": self._operations.names(role)}
        return JSONResponse(told, headers=NO_STORE)

    async def _call(self, request: Request) -> Response:
        caller = self._caller(request)
        arguments = await _json(request, MAX_BODY)
        result = await self._operations.call(caller, request.path_params["operation"], arguments)
        return Response(await dumps({"result": result}), headers=NO_STORE, media_type="application/json")

    async def _stream(self, request: Request) -> Response:
        self._caller(request)
        if self._events.full:
            raise _Refused(503, "too many pages are open; close one")
        return StreamingResponse(
            self._events.stream(lambda: self._guard.caller(request)),
            headers=NO_STORE,
            media_type="text/event-stream",
        )

    async def _metrics(self, request: Request) -> Response:
        told = await self._operations.call(self._caller(request), "live", {})
        text = metrics.render(metrics.samples(told))
        return Response(text, headers={**NO_STORE, "Content-Type": metrics.CONTENT_TYPE})

    async def _health(self, _: Request) -> Response:
        """For a supervisor: 200 while readings are taken, 503 while the store is held. Tells nothing else."""
        held = self._held() is not None
        return Response("held\n" if held else "ok\n", 503 if held else 200, NO_STORE, "text/plain")

    def _caller(self, request: Request) -> Caller:
        caller = self._guard.caller(request)
        if caller is None:
            raise _Refused(401, WHO)
        return caller


async def _json(request: Request, most: int) -> dict[str, Any]:
    """The body, a JSON object; {} where it is empty."""
    if from_elsewhere(request):
        raise _Refused(403, "another site's page may not ask this")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _Refused(415, "send JSON: Content-Type: application/json")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            raise _Refused(413, f"the body is longer than {most} bytes")
    try:
        told = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise _Refused(400, "the body is no JSON") from None
    if not isinstance(told, dict):
        raise _Refused(400, "the body must be a JSON object: the operation's arguments by name")
    return told


def _error(status: int, text: str) -> Response:
    headers = {**NO_STORE, "WWW-Authenticate": "Bearer"} if status == 401 else NO_STORE
    return JSONResponse({"error": text}, status, headers)


def _client(request: Request) -> str:
    return request.client.host if request.client else ""
