"""token.add, token.list, token.revoke in the table of operations.

Rules: a secret never passes here: who makes a token keeps the secret and gives its digest.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fieldline_gateway.operations import Arguments, Caller, Operations, Role, argument
from fieldline_gateway.web.tokens import Tokens


def add(operations: Operations, tokens: Tokens) -> None:
    """Put them into the table."""

    async def new(_: Caller, arguments: Arguments) -> dict[str, Any]:
        name, role = argument(arguments, "name", str), argument(arguments, "role", str)
        await asyncio.to_thread(tokens.add, name, role, argument(arguments, "digest", str))
        return {"name": name, "role": role}

    async def listed(_: Caller, __: Arguments) -> dict[str, Any]:
        return {"tokens": tokens.listed()}

    async def revoke(_: Caller, arguments: Arguments) -> dict[str, Any]:
        name = argument(arguments, "name", str)
        await asyncio.to_thread(tokens.revoke, name)
        return {"name": name}

    operations.changes("token.add", new)
    operations.reads("token.list", listed, Role.OPERATOR)
    operations.changes("token.revoke", revoke)
