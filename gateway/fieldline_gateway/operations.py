"""What people and programs can ask of a running gateway: one table of named operations for every door.

Rules: the command line (control socket), the page and its API, and MQTT all come through Operations.call, so a right
is checked, and a change is written to the audit log, in one place. Arguments and results are plain JSON values; a
result never holds a secret. Whoever adds an operation states the least role that may call it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

from fieldline_gateway.errors import ForbiddenError, GatewayError, UsageError


class Role(IntEnum):
    """What a caller may do; a higher one may do what the lower ones may."""

    READER = 1
    OPERATOR = 2


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `name`: a token's name, a user of this machine; `via`: "cli", "page" or "mqtt"."""

    name: str
    role: Role
    via: str


Arguments = Mapping[str, Any]
Run = Callable[[Caller, Arguments], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be asked. `changes`: it is written to the audit log, done or not."""

    name: str
    role: Role
    run: Run
    changes: bool


class Auditor(Protocol):
    """Who writes down what was asked; `error` is "" where it was done."""

    def check(self) -> None:
        """GatewayError while nothing can be written down: then nothing is changed."""
        ...

    def asked(self, caller: Caller, operation: str, arguments: Arguments, error: str) -> Awaitable[None]: ...


class Operations:
    """The table. `auditor` is told of each call of an operation that changes something, refused ones too."""

    def __init__(self, auditor: Auditor | None = None) -> None:
        self._table: dict[str, Operation] = {}
        self._auditor = auditor
        self.starting = False
        """Not all operations are in the table yet: what is not there may come."""

    def reads(self, name: str, run: Run, role: Role = Role.READER) -> None:
        """Add an operation that changes nothing."""
        self._table[name] = Operation(name, role, run, changes=False)

    def changes(self, name: str, run: Run, role: Role = Role.OPERATOR) -> None:
        """Add an operation that changes something."""
        self._table[name] = Operation(name, role, run, changes=True)

    def names(self, role: Role) -> list[str]:
        """What a caller of this role may ask."""
        return sorted(name for name, operation in self._table.items() if operation.role <= role)

    async def call(self, caller: Caller, name: str, arguments: Arguments) -> Any:
        """Do it. UsageError for an unknown name or wrong arguments, ForbiddenError where the role is too low."""
        operation = self._table.get(name)
        if operation is None and self.starting:
            raise GatewayError(f"the gateway is starting and has no {name} yet; ask again in a moment")
        if operation is None:
            raise UsageError(f"{name!r} is no operation; known: {', '.join(self.names(caller.role))}")
        try:
            if caller.role < operation.role:
                raise ForbiddenError(
                    f"{caller.name} is a {caller.role.name.lower()}; {name} needs an {operation.role.name.lower()}"
                )
            if operation.changes and self._auditor is not None:
                self._auditor.check()
            result = await operation.run(caller, arguments)
        except GatewayError as error:
            await self._tell(operation, caller, arguments, str(error))
            raise
        await self._tell(operation, caller, arguments, "")
        return result

    async def _tell(self, operation: Operation, caller: Caller, arguments: Arguments, error: str) -> None:
        if operation.changes and self._auditor is not None:
            await self._auditor.asked(caller, operation.name, arguments, error)


def argument(arguments: Arguments, name: str, kind: type, default: Any = None) -> Any:
    """One argument of an operation; UsageError where it is of another kind, or missing and has no default."""
    value = arguments.get(name, default)
    if value is None and name not in arguments:
        raise UsageError(f"{name!r} is missing")
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UsageError(f"{name!r} must be a {_KINDS.get(kind, kind.__name__)}, not {value!r}")
    return value


_KINDS = {str: "text", int: "whole number", bool: "true or false", dict: "object", list: "list"}
