"""`fieldline gateway alerts` and `quarantine`, as a person types them, at a gateway that runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

from fieldline_gateway.control import ask
from tests.fakes.gateway_node import FakeNode
from tests.fakes.gateway_site import enrolled, linked, site, until
from tests.gateway.alerts.test_process import alarm


async def test_alerts_are_listed_acknowledged_and_called_over(tmp_path: Path) -> None:
    async with site(tmp_path) as (gateway, wire, node):
        await enrolled(gateway, node)
        code, said = await gateway.command("alerts", "ls")
        assert code == 2 and "no gateway runs" in said
        await gateway.start()
        await linked(gateway)
        socket = tmp_path / "data" / "control.sock"
        assert await gateway.command("alerts", "ls") == (0, "nothing is wrong\n")
        wire.say(node.hello(), alarm(node, 1))
        await until(lambda: ask(socket, "alert.list")["alerts"])
        code, said = await gateway.command("alerts", "ls")
        assert code == 0 and "fan-stalled" in said and "1 open, 1 seen by nobody" in said
        code, said = await gateway.command("alerts", "ls", "--json")
        (alert,) = json.loads(said)["alerts"]
        ident = str(alert["id"])
        assert await gateway.command("alerts", "ack", ident, "--note", "on my [way]") == (
            0,
            f"acknowledged: {ident}\n",
        )
        assert await gateway.command("alerts", "ack", ident) == (0, "somebody had seen them before\n")
        seen = ask(socket, "alert.list")["alerts"][0]["acknowledged"]
        assert (seen["via"], seen["note"]) == ("cli", "on my [way]")
        assert "on my" in (await gateway.command("alerts", "ls"))[1]
        for words, why in (
            (("ack",), "say which"),
            (("ack", "99"), "there is no alert 99"),
            (("clear", ident), "clears by itself"),
        ):
            code, said = await gateway.command("alerts", *words)
            assert code == 2 and why in said, said
        assert "nobody is told" in (await gateway.command("alerts", "notifiers"))[1]
        code, said = await gateway.command("alerts", "test")
        assert code == 0 and re.match(r"alert \d+ is on its way", said)
        assert "test" in (await gateway.command("alerts", "ls", "--all"))[1]


async def test_who_was_turned_away_is_listed_forgotten_and_revoked(tmp_path: Path) -> None:
    stranger = FakeNode(9)
    async with site(tmp_path) as (gateway, wire, node):
        await enrolled(gateway, node)
        await gateway.start()
        await linked(gateway)
        socket = tmp_path / "data" / "control.sock"
        wire.say(node.hello(), stranger.report(1))
        await until(lambda: ask(socket, "quarantine.list")["entries"])
        code, said = await gateway.command("quarantine", "ls", "--json")
        (entry,) = json.loads(said)["quarantine"]["entries"]
        assert (code, entry["node"], entry["why"]) == (0, stranger.id.hex(), "unknown-node")
        code, said = await gateway.command("quarantine", "ls")
        assert code == 0 and "1 in quarantine, 1 messages turned away" in said
        assert (await gateway.command("quarantine", "forget"))[0] == 2
        assert await gateway.command("quarantine", "forget", entry["node"]) == (0, "1 forgotten\n")
        code, said = await gateway.command("quarantine", "revoke", "nobody")
        assert code == 2 and "is no enrolled node" in said
        named = f"fan ({node.id.hex()})"
        assert await gateway.command("quarantine", "revoke", "fan") == (0, f"{named}: revoked\n")
        assert await gateway.command("quarantine", "revoke", "fan") == (0, f"{named}: was revoked before\n")
        wire.say(node.report(1))
        await until(lambda: ask(socket, "quarantine.list")["entries"])
        assert ask(socket, "quarantine.list")["entries"][0]["why"] == "revoked"
        lines = ask(socket, "audit.tail")["lines"]
        assert {"quarantine.forget", "nodes.revoke"} <= {line["what"] for line in lines}
