"""The page's HTTP: who gets in, what is refused and how, and what every answer carries."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline_gateway.web import server
from fieldline_gateway.web.events import MAX_STREAMS
from fieldline_gateway.web.guard import HEADERS
from fieldline_gateway.web.routes import MAX_BODY
from tests.gateway.web.conftest import Door, door, parse

PATHS = (
    "/",
    "/static/app.css",
    "/static/js/main.js",
    "/healthz",
    "/me",
    "/metrics",
    "/api/events",
    "/nothing",
)


async def test_who_has_no_token_gets_nothing_but_the_empty_page(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        for path in ("/me", "/metrics", "/api/events"):
            answer = await at.ask("GET", path)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer"), path
            assert (await at.ask("GET", path, token="fieldline_" + "x" * 43)).status == 401
        assert (await at.call("live", {}, None)).status == 401
        assert (await at.ask("GET", "/")).status == 200
        assert (await at.ask("GET", "/healthz")).body == b"ok\n"


async def test_a_reader_reads_an_operator_changes_and_both_are_told_what_is_wrong(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        assert (await at.call("live", {}, at.reader)).json["result"]["version"] == 1
        refused = await at.call("add", {"by": 3}, at.reader)
        assert (refused.status, refused.json) == (403, {"error": "ruth is a reader; add needs an operator"})
        assert (await at.call("add", {"by": 3}, at.operator)).json == {"result": {"sum": 3}}
        assert (await at.call("add", {"by": 30}, at.operator)).status == 400
        assert (await at.call("add", {"by": True}, at.operator)).status == 400
        assert "no operation" in (await at.call("nothing", {}, at.operator)).json["error"]
        assert [each[:2] for each in at.audited] == [
            ("ruth", "add"),
            ("olga", "add"),
            ("olga", "add"),
            ("olga", "add"),
        ]


async def test_every_answer_forbids_frames_foreign_scripts_and_guessing(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        for path in PATHS:
            if path != "/api/events":
                answer = await at.ask("GET", path, token=at.reader)
                assert {
                    name.lower(): value for name, value in HEADERS.items()
                }.items() <= answer.headers.items(), path
        assert "unsafe-inline" not in HEADERS["Content-Security-Policy"]


async def test_the_page_has_no_inline_script_and_no_foreign_address(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        page = (await at.ask("GET", "/")).body.decode()
        assert "http" not in page.replace("http-equiv", "") and "style=" not in page and "onclick" not in page
        for path in ("../tokens.py", "..%2ftokens.py", "%2e%2e/%2e%2e/app.py", "/etc/passwd", "js"):
            assert (await at.ask("GET", f"/static/{path}")).status == 404, path


async def test_a_browser_logs_in_and_its_cookie_works_for_the_page_alone(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        answer = await at.ask("POST", "/login", json.dumps({"token": at.operator}).encode())
        cookie = answer.headers["set-cookie"]
        assert answer.json == {"name": "olga", "role": "operator"}
        assert at.operator not in cookie and "HttpOnly" in cookie and "SameSite=strict" in cookie
        session, here = cookie.partition(";")[0], f"http://127.0.0.1:{at.port}"
        body = b'{"by": 1}'

        async def add(**headers: str) -> int:
            return (await at.ask("POST", "/api/add", body, cookie=session, **headers)).status

        assert await add(origin=here, sec_fetch_site="same-origin") == 200
        assert await add(origin="https://evil.example", sec_fetch_site="cross-site") == 403
        assert await add(origin="https://evil.example") == 403
        assert await add(origin="null", sec_fetch_site="same-site") == 403
        assert await add(sec_fetch_site="same-site") == 403
        assert await add(origin="") == 403
        assert await add(origin=here, content_type="text/plain") == 415
        assert (await at.ask("POST", "/logout", b"{}", cookie=session, origin="http://x")).status == 403
        assert (await at.ask("POST", "/logout", b"{}", cookie=session, origin=here)).status == 200
        assert await add(origin=here) == 401


async def test_a_revoked_token_ends_its_sessions_and_its_streams(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        answer = await at.ask("POST", "/login", json.dumps({"token": at.reader}).encode())
        session = answer.headers["set-cookie"].partition(";")[0]
        assert (await at.ask("GET", "/me", cookie=session)).status == 200
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
        writer.write(f"GET /api/events HTTP/1.1\r\nhost: x\r\ncookie: {session}\r\n\r\n".encode())
        assert b"event: live" in await reader.readuntil(b"event: live")
        assert (await at.call("token.revoke", {"name": "ruth"}, at.operator)).status == 200
        await asyncio.wait_for(reader.readuntil(b"event: out"), 20)
        writer.close()
        assert (await at.ask("GET", "/me", cookie=session)).status == 401
        assert (await at.call("live", {}, at.reader)).status == 401


async def test_bodies_are_bounded_and_nonsense_is_refused(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        for body in (b"[]", b"{", b"[" * 100_000, b"\xff", b'"x"', b"1"):
            assert (await at.ask("POST", "/api/live", body, token=at.reader)).status == 400, body[:9]
        assert (await at.ask("POST", "/api/live", b" " * (MAX_BODY + 1), token=at.reader)).status == 413
        assert (await at.ask("POST", "/login", b" " * 5000)).status == 413
        assert (await at.ask("POST", "/login", b'{"token": 7}')).status == 401
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
        writer.write(b"GET /" + b"x" * 60_000)  # and no end
        assert parse(await asyncio.wait_for(reader.read(), 20)).status == 400
        writer.close()
        assert (await at.call("live", {}, at.reader)).status == 200


async def test_a_fault_of_ours_tells_the_log_and_not_the_caller(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with door(tmp_path) as at:
        logging.getLogger("fieldline_gateway").propagate = True
        answer = await at.call("fails", {}, at.reader)
        assert answer.status == 500 and b"secret" not in answer.body
        assert "secret of the house" in caplog.text


async def test_no_secret_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("fieldline_gateway").propagate = True
    async with door(tmp_path) as at:
        answer = await at.ask("POST", "/login", json.dumps({"token": at.operator}).encode())
        session = answer.headers["set-cookie"].partition(";")[0].partition("=")[2]
        wrong = "fieldline_" + "w" * 43
        await at.ask("POST", "/login", json.dumps({"token": wrong}).encode())
        await at.ask("GET", f"/me?token={at.operator}", token=at.operator)
        written = caplog.text + "".join(f"{record.__dict__}" for record in caplog.records)
    assert "page-login" in written and "page-login-refused" in written
    for secret in (at.operator, at.reader, session, wrong):
        assert secret not in written
    kept = (tmp_path / "page-tokens.json").read_text()
    assert at.operator not in kept and session not in kept


async def test_a_slow_client_and_one_that_does_not_read_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "REQUEST_S", 0.2)
    monkeypatch.setattr(server, "WRITE_S", 0.2)
    async with door(tmp_path) as at:
        body = "host: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n"
        half = f"POST /api/live HTTP/1.1\r\nauthorization: Bearer {at.reader}\r\n{body}\r\n{{"
        for said in (b"", b"GET / HT", half.encode()):
            reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
            writer.write(said)
            try:
                assert await asyncio.wait_for(reader.read(), 20) == b""
            except ConnectionError:
                pass
            writer.close()
        at.rows = [[0, {"pad": "x" * 2_000_000}, [0, [], []]]]
        deaf = socket.create_connection(("127.0.0.1", at.port))
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(
            f"GET /api/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {at.reader}\r\n\r\n".encode()
        )
        deaf.setblocking(False)
        async with asyncio.timeout(60):
            while True:  # its version moves on, so that each second another 2 MB are to be sent
                at.version += 1
                try:
                    if deaf.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                        break
                    deaf.send(b"x")
                except ConnectionError:
                    break
                await asyncio.sleep(0.05)
        deaf.close()
        at.rows = []
        assert (await at.ask("GET", "/healthz")).status == 200


async def test_connections_and_streams_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with door(tmp_path) as at:
        open_ones = []
        for _ in range(MAX_STREAMS):
            reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
            writer.write(
                f"GET /api/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {at.reader}\r\n\r\n".encode()
            )
            await reader.readuntil(b"event: live")
            open_ones.append(writer)
        assert (await at.ask("GET", "/api/events", token=at.reader)).status == 503
        monkeypatch.setattr(server, "MAX_CONNECTIONS", MAX_STREAMS)
        with pytest.raises((ConnectionError, IndexError)):
            await at.ask("GET", "/healthz")
        for writer in open_ones:
            writer.close()
        monkeypatch.undo()
        await until_served(at)


async def until_served(at: Door) -> None:
    async with asyncio.timeout(60):
        while (await at.ask("GET", "/me", token=at.reader)).status != 200:
            await asyncio.sleep(0.05)


async def test_health_follows_the_store(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        at.held = "full"
        answer = await at.ask("GET", "/healthz")
        assert (answer.status, answer.body) == (503, b"held\n")


async def test_a_port_that_is_taken_is_said_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "AGAIN_S", 0.05)
    said: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(server.logs, "event", lambda level, name, **fields: said.append((name, fields)))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = server.PageConfig("127.0.0.1", port, None)
        serving = server.serve(
            config, server.Operations(), server.Tokens(tmp_path / "t", lambda: 1), "g", lambda: None
        )
        async with serving:
            async with asyncio.timeout(60):
                while not said:
                    await asyncio.sleep(0.01)
                assert said[0][0] == "page-closed"
                taken.close()
                while said[-1][0] != "page-open":
                    await asyncio.sleep(0.01)


@settings(max_examples=8)
@given(
    st.lists(
        st.binary(max_size=300) | st.from_regex(rb"(GET|POST) /[a-z/]{0,9} HTTP/1\.[019]\r\n.*"), max_size=20
    )
)
def test_no_bytes_of_a_peer_break_the_server(
    tmp_path_factory: pytest.TempPathFactory, peers: list[bytes]
) -> None:
    async def run() -> None:
        async with door(tmp_path_factory.mktemp("door")) as at:
            for said in peers:
                reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
                writer.write(said + b"\r\n\r\n")
                writer.write_eof()
                try:
                    raw = await asyncio.wait_for(reader.read(), 20)
                except ConnectionError:
                    raw = b""
                writer.close()
                assert not raw or parse(raw).status < 600
            assert (await at.ask("GET", "/healthz")).status == 200

    asyncio.run(run())
