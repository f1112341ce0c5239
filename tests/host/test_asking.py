"""Asking a gateway by HTTP: where a token may go, and what of an answer that is none."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fieldline_host.asking import AskError, NotRunning, ask_http, ask_socket


@contextmanager
def gateway(status: int, body: bytes) -> Iterator[tuple[str, list[tuple[str, str, Any]]]]:
    """An address that answers this; (path, authorization, question) of each that asked."""
    asked: list[tuple[str, str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, self.headers["Authorization"], question))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()


def test_a_question_is_a_call_of_the_pages_api() -> None:
    with gateway(200, b'{"result": {"nodes": 3}}') as (url, asked):
        assert ask_http(url + "/", "secret", "updates.offer", {"node": "01"}) == {"nodes": 3}
    assert asked == [("/api/updates.offer", "Bearer secret", {"node": "01"})]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, b'{"error": "me is a reader"}', "me is a reader"),
        (401, b"<html>", "status 401"),
        (200, b'{"error": "no such node"}', "no such node"),
        (200, b"noise", "did not answer"),
        (200, b"[1]", "did not answer as one does"),
    ],
)
def test_a_no_and_an_answer_that_is_none_are_errors(status: int, body: bytes, said: str) -> None:
    with gateway(status, body) as (url, _), pytest.raises(AskError, match=said):
        ask_http(url, "secret", "status")


@pytest.mark.parametrize(
    "url", ["http://gateway.example", "ftp://127.0.0.1", "gateway.example:8080", "http://127.0.0.1.example"]
)
def test_a_token_goes_nowhere_in_the_clear(url: str) -> None:
    with pytest.raises(AskError, match="https"):
        ask_http(url, "secret", "status")


def test_a_gateway_that_is_away_is_told_apart(tmp_path: Path) -> None:
    with gateway(200, b"") as (url, _):
        pass
    with pytest.raises(NotRunning):
        ask_http(url, "secret", "status")
    with pytest.raises(NotRunning, match="fieldline gateway run"):
        ask_socket(tmp_path / "control.sock", "status")
