"""Fixtures of the MQTT tests."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from fieldline_gateway import logs
from fieldline_gateway.logs import TextFormatter


class Said(logging.Handler):
    """What the gateway logged, as a person would read it."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(TextFormatter())
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def text(self) -> str:
        return "\n".join(self.format(record) for record in self.records)


@pytest.fixture
def said() -> Iterator[Said]:
    logger = logs._LOGGER
    handler, level = Said(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)
