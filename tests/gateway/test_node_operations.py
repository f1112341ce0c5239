"""node.settings, node.set, nodes.revoke on a gateway's process: kept before it goes down, through a kill."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from fieldline_gateway.control import ask
from fieldline_gateway.errors import UsageError
from fieldline_gateway.records import LIVE
from fieldline_wire.codes import KEY_REPORT_MS, KEY_SAMPLE_MS, SENSOR_NODE
from fieldline_wire.messages import Config
from tests.fakes.gateway_site import FIELDLINE, enrolled, linked, site, until


async def test_a_setting_survives_a_kill_goes_down_and_converges_when_the_node_says_so(
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as (gateway, wire, node):
        await enrolled(gateway, node)
        await gateway.start()
        await linked(gateway)
        socket, name = tmp_path / "data" / "control.sock", node.id.hex()

        def told() -> dict[str, Any]:
            found: dict[str, Any] = ask(socket, "node.settings", {"node": name})
            return found

        def heard(version: int) -> list[Config]:
            return [m for m in wire.heard if isinstance(m, Config) and m.version == version]

        assert (told()["converged"], told()["desired"]) == (True, {})
        ask(socket, "node.set", {"node": name, "settings": {"report_ms": 4000}})  # it is away
        await gateway.end(signal.SIGKILL)
        await gateway.start()
        await linked(gateway)
        assert (told()["converged"], told()["desired"], told()["version"]) == (False, {"report_ms": 4000}, 1)
        wire.say(node.hello([(LIVE, 1, 1)]))
        await until(lambda: heard(1))
        assert not told()["converged"]
        wire.say(node.seal(Config(1, [], reported=True).to_bytes()))
        await until(lambda: told()["converged"])

        ask(
            socket, "node.set", {"node": name, "settings": {"sample_ms": 500}}
        )  # it is there: no Hello is waited for
        await until(lambda: heard(2))
        wanted = {(SENSOR_NODE, KEY_REPORT_MS, 4000), (SENSOR_NODE, KEY_SAMPLE_MS, 500)}
        assert set(heard(2)[0].settings) == wanted and not told()["converged"]


async def test_who_is_revoked_is_not_heard_any_more_and_what_is_wrong_is_said(tmp_path: Path) -> None:
    async with site(tmp_path) as (gateway, wire, node):
        await enrolled(gateway, node)
        await gateway.start()
        await linked(gateway)
        socket, name = tmp_path / "data" / "control.sock", node.id.hex()
        wire.say(node.report(1))
        await until(lambda: wire.acknowledged(1, 1))
        for wrong in ({}, {"report_ms": "x"}, {"report_ms": True}, {"report_ms": 9}, {"rpm": 100}):
            with pytest.raises(UsageError):
                ask(socket, "node.set", {"node": name, "settings": wrong})
        for nobody in ("", "zz", "f1ee00000000ffff"):
            with pytest.raises(UsageError, match="no enrolled node"):
                ask(socket, "nodes.revoke", {"target": nobody})
        ask(socket, "nodes.revoke", {"target": name})
        wire.say(node.report(2))
        await until(lambda: gateway.status()["refused"].get("revoked"))
        assert gateway.status()["nodes"][0]["classes"]["live"]["stored"] == 1


async def test_a_token_is_made_with_and_without_a_gateway_that_runs_and_its_making_is_in_the_audit_log(
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as (gateway, _, _):

        async def token(*words: str) -> tuple[int, str]:
            process = await asyncio.create_subprocess_exec(
                *FIELDLINE, "token", *words, "-c", str(gateway.config),
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            said, _ = await process.communicate()
            return process.returncode or 0, said.decode()

        code, said = await token("add", "early", "--role", "reader")
        assert code == 0, said
        await gateway.start()
        code, said = await token("add", "late", "--role", "operator")
        secret = said.split()[0]
        assert code == 0 and secret.startswith("fieldline_")
        code, said = await token("list", "--json")
        assert code == 0 and [(each["name"], each["role"]) for each in json.loads(said)] == [
            ("early", "reader"),
            ("late", "operator"),
        ]
        assert (await token("revoke", "early"))[0] == 0
        code, said = await token("revoke", "early")
        assert code == 2 and "there are: late" in said
        code, said = await gateway.command("top", "--once")
        assert code == 0 and "nodes 0" in said
        told = ask(tmp_path / "data" / "control.sock", "audit.tail", {})
        assert {"token.add", "token.revoke"} <= {line["what"] for line in told["lines"]}
        for file in tmp_path.rglob("*"):
            if file.is_file():
                assert secret.encode() not in file.read_bytes(), file
