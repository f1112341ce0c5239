"""Log lines that a person and a program can read: an event's name, then key=value, or one JSON object a line.

Rules: an event has a fixed name and its data in fields, never in prose; a field is never a key, a password
or a payload. What a peer sent is quoted, so that it cannot forge a line.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from typing import TextIO

_LOGGER = logging.getLogger("fieldline_gateway")  # of the whole package
_PLAIN = re.compile(r"[A-Za-z0-9_.:/@+-]+")

DEBUG, INFO, WARNING, ERROR = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR


def event(level: int, name: str, **fields: object) -> None:
    """Log `name` with its fields; bytes are shown as hex."""
    if _LOGGER.isEnabledFor(level):
        _LOGGER.log(level, name, extra={"fields": fields})


def setup(form: str = "text", level: str = "info", stream: TextIO | None = None) -> None:
    """Write events to `stream` (default: standard error) as "text" or "json"; for a program's start only."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    _LOGGER.handlers[:] = [handler]
    _LOGGER.setLevel(level.upper())
    _LOGGER.propagate = False


class TextFormatter(logging.Formatter):
    """`2026-01-31T10:00:00.123Z info node-enrolled node=0102030405060708 by="the line"`"""

    def format(self, record: logging.LogRecord) -> str:
        parts = [_utc(record.created), record.levelname.lower(), record.getMessage()]
        fields: dict[str, object] = getattr(record, "fields", {})
        parts += [f"{key}={_quoted(_plain(value))}" for key, value in fields.items()]
        return " ".join(parts) + (f"\n{self.formatException(record.exc_info)}" if record.exc_info else "")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, event, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        for key, value in getattr(record, "fields", {}).items():
            line[key] = value if isinstance(value, int | float | bool) or value is None else _plain(value)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _utc(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds * 1000) % 1000:03d}Z"


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
