"""The table of operations: rights are checked and changes are told to the audit log, whichever door they come by."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fieldline_gateway.errors import ForbiddenError, GatewayError, UsageError
from fieldline_gateway.operations import Arguments, Caller, Operations, Role, argument

READER = Caller("anna", Role.READER, "page")
OPERATOR = Caller("olga", Role.OPERATOR, "page")


class Audit:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any], str]] = []
        self.failed = ""

    def check(self) -> None:
        if self.failed:
            raise UsageError(self.failed)

    async def asked(self, caller: Caller, operation: str, arguments: Arguments, error: str) -> None:
        self.lines.append((caller.name, operation, dict(arguments), error))


async def _double(_: Caller, arguments: Arguments) -> int:
    return 2 * int(argument(arguments, "value", int))


def table() -> tuple[Operations, Audit]:
    audit = Audit()
    operations = Operations(audit)
    operations.reads("look", _double)
    operations.changes("move", _double)
    return operations, audit


def test_who_may_what() -> None:
    operations, audit = table()
    assert operations.names(Role.READER) == ["look"]
    assert operations.names(Role.OPERATOR) == ["look", "move"]
    assert asyncio.run(operations.call(READER, "look", {"value": 2})) == 4
    with pytest.raises(ForbiddenError, match="anna is a reader; move needs an operator"):
        asyncio.run(operations.call(READER, "move", {"value": 2}))
    assert asyncio.run(operations.call(OPERATOR, "move", {"value": 2})) == 4
    assert [(who, bool(error)) for who, _, _, error in audit.lines] == [("anna", True), ("olga", False)]


def test_a_change_that_fails_is_told_to_the_audit_log_with_its_error() -> None:
    operations, audit = table()
    with pytest.raises(UsageError, match="'value' is missing"):
        asyncio.run(operations.call(OPERATOR, "move", {}))
    assert audit.lines == [("olga", "move", {}, "'value' is missing")]


def test_nothing_is_changed_while_the_audit_log_cannot_be_written() -> None:
    operations, audit = table()
    ran = []

    async def move(_: Caller, __: Arguments) -> None:
        ran.append(1)

    operations.changes("move", move)
    audit.failed = "no room"
    with pytest.raises(UsageError, match="no room"):
        asyncio.run(operations.call(OPERATOR, "move", {}))
    assert not ran
    assert asyncio.run(operations.call(READER, "look", {"value": 2})) == 4


@pytest.mark.parametrize("value", [True, "2", 2.0, None, [2]])
def test_an_argument_of_another_kind_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="must be a whole number"):
        argument({"value": value}, "value", int)


def test_an_operation_that_is_not_there() -> None:
    with pytest.raises(UsageError, match=r"known: look$"):
        asyncio.run(table()[0].call(READER, "fly", {}))


def test_while_the_gateway_starts_what_is_not_there_may_come() -> None:
    operations = table()[0]
    operations.starting = True
    with pytest.raises(GatewayError, match="is starting and has no fly yet") as raised:
        asyncio.run(operations.call(READER, "fly", {}))
    assert not isinstance(raised.value, UsageError)
    assert asyncio.run(operations.call(READER, "look", {"value": 3}))
