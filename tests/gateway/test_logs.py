"""Log lines: one line an event whatever a peer sends, as text and as JSON."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from fieldline_gateway import logs


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    logger = logging.getLogger("fieldline_gateway")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], level, logger.propagate = before
    logger.setLevel(level)


def logged(form: str, level: str = "info") -> io.StringIO:
    out = io.StringIO()
    logs.setup(form, level, out)
    return out


def test_text_is_one_line_of_keys_and_values() -> None:
    out = logged("text")
    logs.event(logs.WARNING, "node-heard", node=b"\x01\xff", link="/dev/ttyUSB0", count=3, said='a "b"\nc d')
    stamp, rest = out.getvalue().split(" ", 1)
    assert stamp.endswith("Z")
    assert rest == 'warning node-heard node=01ff link=/dev/ttyUSB0 count=3 said="a \\"b\\"\\nc d"\n'


def test_json_is_one_object_a_line() -> None:
    out = logged("json")
    logs.event(logs.ERROR, "store-held", reason="full", count=2, error=ValueError("a\nb"), node=b"\x01")
    line = json.loads(out.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "error", "event": "store-held", "reason": "full", "count": 2, "error": "a\nb", "node": "01",
    }  # fmt: skip


def test_what_is_below_the_level_is_not_written() -> None:
    out = logged("text", "warning")
    logs.event(logs.INFO, "not-this")
    assert out.getvalue() == ""


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_exception_and_a_line_of_another_module_are_written_too(form: str) -> None:
    out = logged(form)
    logging.getLogger("fieldline_gateway.sinks.mqtt").warning("sink %s: gone", "mqtt")
    try:
        raise KeyError("x")
    except KeyError:
        logging.getLogger("fieldline_gateway.app").exception("sink-failed")
    assert "sink mqtt: gone" in out.getvalue() and "KeyError" in out.getvalue()
