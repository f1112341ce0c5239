"""`fieldline fleet` on a real gateway that is killed between each step: nothing is lost, nothing comes twice."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

from fieldline_wire.messages import Command, Config, Result
from tests.fakes.gateway_site import Gateway, Wire, enrolled, linked, site, until


async def fleet(gateway: Gateway, *words: str, code: int = 0) -> Any:
    """What the command prints with --json."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fieldline_cli.main", "fleet",
        words[0], "-c", str(gateway.config), "--json", *words[1:],
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, wrong = await process.communicate()
    assert process.returncode == code, wrong.decode()
    return json.loads(said) if said else wrong.decode()


async def killed(gateway: Gateway, wire: Wire) -> None:
    """SIGKILL, and a start; what the node heard is forgotten."""
    await gateway.end(signal.SIGKILL)
    await gateway.start()
    await linked(gateway)
    wire.heard.clear()


def last(wire: Wire, kind: type) -> Any:
    return next((message for message in reversed(wire.heard) if isinstance(message, kind)), None)


async def test_labels_settings_and_commands_over_kills(tmp_path: Path) -> None:
    async with site(tmp_path) as (gateway, wire, node):
        await enrolled(gateway, node)
        await gateway.start()
        await linked(gateway)
        await fleet(gateway, "tag", "fan", "site:kiel")
        await fleet(gateway, "set", "T@site:kiel", "report_ms=5000", "sensors.1.pulses_per_turn=4")
        job = await fleet(gateway, "send", "T@site:kiel", "identify", "seconds=3", "--once", "kiel-1")
        await killed(gateway, wire)  # all is kept; nothing went down: the node is away

        assert await fleet(gateway, "send", "T@site:kiel", "identify", "seconds=3", "--once", "kiel-1") == job
        wire.say(node.hello())
        await until(lambda: last(wire, Config) and last(wire, Command))
        config, command = last(wire, Config), last(wire, Command)
        await killed(gateway, wire)  # sent, not answered

        wire.say(node.hello())
        await until(lambda: last(wire, Config) and last(wire, Command))
        assert (last(wire, Config), last(wire, Command).id) == (config, command.id), (
            "the same: a repeat is harmless"
        )
        answers = (Config(config.version, config.settings, reported=True), Result(command.id, 0))
        wire.say(*(node.seal(answer.to_bytes()) for answer in answers))
        while (await fleet(gateway, "jobs"))["jobs"][0]["done"] != 1:
            pass  # each look is a process of its own
        await killed(gateway, wire)  # answered

        twin = await fleet(gateway, "get", "fan")
        assert "delta" not in twin["state"] and twin["state"]["reported"]["config"]["report_ms"] == 5000
        (listed,) = (await fleet(gateway, "ls", "T@site:kiel and not Q@delta"))["nodes"]
        assert listed["name"] == "fan" and listed["converged"]
        wire.say(node.hello(config_version=config.version), node.report(1))
        await until(lambda: wire.acknowledged(1, 1))
        assert last(wire, Config) is None and last(wire, Command) is None

        await fleet(gateway, "send", "*", "restart")
        await until(lambda: last(wire, Command))
        assert (await fleet(gateway, "cancel", "--job", "2"))["told"] == 1
        await killed(gateway, wire)  # taken back
        wire.say(node.hello(config_version=config.version), node.report(2))
        await until(lambda: wire.acknowledged(1, 2))
        assert last(wire, Command) is None
        assert [job["cancelled"] for job in (await fleet(gateway, "jobs"))["jobs"]] == [1, 0]
        assert "character 8:" in await fleet(gateway, "ls", "fan or ", code=2)
