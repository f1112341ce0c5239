"""`fieldline gateway alerts` and `quarantine`, as a person types them, at a gateway that runs."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
from pathlib import Path

from fieldline_gateway.cli import main
from fieldline_gateway.control import ask
from tests.fakes.gateway_node import FakeNode
from tests.fakes.gateway_site import enrolled, linked, site, until
from tests.gateway.alerts.test_process import alarm


async def typed(folder: Path, *words: str) -> tuple[int, str]:
    """Exit code and what was said, both ways."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = await asyncio.to_thread(main, [*words, "-c", str(folder / "gateway.toml")])
    return code, said.getvalue()


async def test_alerts_are_listed_acknowledged_and_called_over(tmp_path: Path) -> None:
    async with site(tmp_path) as (gateway, wire, node):
        await enrolled(gateway, node)
        code, said = await typed(tmp_path, "alerts", "ls")
        assert code == 2 and "no gateway runs" in said
        await gateway.start()
        await linked(gateway)
        socket = tmp_path / "data" / "control.sock"
        assert await typed(tmp_path, "alerts", "ls") == (0, "nothing is wrong\n")
        wire.say(node.hello(), alarm(node, 1))
        await until(lambda: ask(socket, "alert.list")["alerts"])
        code, said = await typed(tmp_path, "alerts", "ls")
        assert code == 0 and "fan-stalled" in said and "1 open, 1 seen by nobody" in said
        code, said = await typed(tmp_path, "alerts", "ls", "--json")
        (alert,) = json.loads(said)["alerts"]
        ident = str(alert["id"])
        assert await typed(tmp_path, "alerts", "ack", ident, "--note", "on my [way]") == (
            0,
            f"acknowledged: {ident}\n",
        )
        assert await typed(tmp_path, "alerts", "ack", ident) == (0, "somebody had seen them before\n")
        seen = ask(socket, "alert.list")["alerts"][0]["acknowledged"]
        assert (seen["via"], seen["note"]) == ("cli", "on my [way]")
        assert "on my" in (await typed(tmp_path, "alerts", "ls"))[1]
        for words, why in (
            (("ack",), "say which"),
            (("ack", "99"), "there is no alert 99"),
            (("clear", ident), "clears by itself"),
        ):
            code, said = await typed(tmp_path, "alerts", *words)
            assert code == 2 and why in said, said
        assert "nobody is told" in (await typed(tmp_path, "alerts", "notifiers"))[1]
        code, said = await typed(tmp_path, "alerts", "test")
        assert code == 0 and re.match(r"alert \d+ is on its way", said)
        assert "test" in (await typed(tmp_path, "alerts", "ls", "--all"))[1]


async def test_who_was_turned_away_is_listed_forgotten_and_revoked(tmp_path: Path) -> None:
    stranger = FakeNode(9)
    async with site(tmp_path) as (gateway, wire, node):
        await enrolled(gateway, node)
        await gateway.start()
        await linked(gateway)
        socket = tmp_path / "data" / "control.sock"
        wire.say(node.hello(), stranger.report(1))
        await until(lambda: ask(socket, "quarantine.list")["entries"])
        code, said = await typed(tmp_path, "quarantine", "ls", "--json")
        (entry,) = json.loads(said)["quarantine"]["entries"]
        assert (code, entry["node"], entry["why"]) == (0, stranger.id.hex(), "unknown-node")
        code, said = await typed(tmp_path, "quarantine", "ls")
        assert code == 0 and "1 in quarantine, 1 messages turned away" in said
        assert (await typed(tmp_path, "quarantine", "forget"))[0] == 2
        assert await typed(tmp_path, "quarantine", "forget", entry["node"]) == (0, "1 forgotten\n")
        code, said = await typed(tmp_path, "quarantine", "revoke", "nobody")
        assert code == 2 and "is no enrolled node" in said
        named = f"fan ({node.id.hex()})"
        assert await typed(tmp_path, "quarantine", "revoke", "fan") == (0, f"{named}: revoked\n")
        assert await typed(tmp_path, "quarantine", "revoke", "fan") == (0, f"{named}: was revoked before\n")
        wire.say(node.report(1))
        await until(lambda: ask(socket, "quarantine.list")["entries"])
        assert ask(socket, "quarantine.list")["entries"][0]["why"] == "revoked"
        lines = ask(socket, "audit.tail")["lines"]
        assert {"quarantine.forget", "nodes.revoke"} <= {line["what"] for line in lines}
