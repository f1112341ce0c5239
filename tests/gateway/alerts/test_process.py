"""The gateway's process: alerts and audit over kills, and no secret anywhere that a person or a thief may look."""

from __future__ import annotations

import asyncio
import signal
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from fieldline_gateway.control import ask
from fieldline_host.chain import verify
from fieldline_wire.messages import CAUSE_SHIFT, READING_RAISED, Reading, Report
from tests.fakes.gateway_node import FakeNode
from tests.fakes.gateway_site import enrolled, linked, site, until


def alarm(node: FakeNode, number: int) -> bytes:
    flags = READING_RAISED | 1 << CAUSE_SHIFT
    readings = [Reading(0, 1, 1, flags, 0)]
    return node.seal(Report(0, node.stream, number, readings=readings, base_time=60, epoch=1).to_bytes())


async def test_a_nodes_alarm_is_raised_once_over_kills_and_an_acknowledgement_stays(tmp_path: Path) -> None:
    async with site(tmp_path) as (gateway, wire, node):
        await enrolled(gateway, node)
        socket = tmp_path / "data" / "control.sock"

        def alerts() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = ask(socket, "alert.list")["alerts"]
            return found

        for round_ in range(3):
            await gateway.start()
            await linked(gateway)
            if round_ == 0:
                wire.say(node.hello(), alarm(node, 1))
                await until(lambda: gateway.status()["store"]["classes"]["alarm"]["newest"] == 1)
            else:
                await until(alerts)
                (one,) = alerts()
                assert (one["kind"], one["name"], one["times"]) == ("fan-stalled", "fan", 1)
                (head,) = (ask(socket, "audit.tail", {"limit": 1})["head"],)
                ask(socket, "alert.acknowledge", {"id": one["id"], "note": f"round {round_}"})
                assert alerts()[0]["acknowledged"]["note"] == "round 1"
                assert ask(socket, "audit.verify", {"anchor": f"{head['seq']}:{head['hash']}"})["good"]
            await gateway.end(signal.SIGKILL)
    verdict = verify(tmp_path / "data" / "audit")
    assert verdict.faults == () and verdict.lines > 4
    code, said = await gateway.command("check")
    assert code == 0, said


async def test_no_secret_of_the_run_is_in_log_audit_status_arguments_or_errors(tmp_path: Path) -> None:
    async with site(tmp_path) as (gateway, wire, node):
        for name, secret in (("token", "t0k3n-of-the-webhook"), ("secret", "s3cret-of-the-webhook")):
            path = tmp_path / name
            path.write_text(secret)
            path.chmod(0o600)
        gateway.config.write_text(
            gateway.config.read_text()
            + '[[notify]]\nkind = "webhook"\nurl = "http://127.0.0.1:9/x"\n'
            + 'token_file = "token"\nsecret_file = "secret"\n'
        )
        await enrolled(gateway, node)
        await gateway.start()
        await linked(gateway)
        wire.say(node.hello(), alarm(node, 1), FakeNode(9).report(1))
        socket = tmp_path / "data" / "control.sock"
        await until(lambda: ask(socket, "alert.notifiers")["notifiers"][0]["last_error"])
        told = [gateway.status()]
        for name in (
            "alert.list",
            "alert.notifiers",
            "quarantine.list",
            "clone.list",
            "limit.list",
            "audit.tail",
        ):
            told.append(ask(socket, name))
        assert told[3]["entries"][0]["node"] == FakeNode(9).id.hex()
        assert gateway._process is not None
        words = Path(f"/proc/{gateway._process.pid}/cmdline").read_bytes()
        environment = Path(f"/proc/{gateway._process.pid}/environ").read_bytes()
        await gateway.end(signal.SIGTERM)
        audit = b"".join(path.read_bytes() for path in (tmp_path / "data" / "audit").iterdir())
        everything = repr(told).encode() + words + environment + audit + gateway.log.read_bytes()
        book = (tmp_path / "data" / "alerts.db").read_bytes()
        for secret in (
            node.key.hex(),
            node.key.hex().upper(),
            "t0k3n-of-the-webhook",
            "s3cret-of-the-webhook",
        ):
            assert secret.encode() not in everything + book
        assert node.key not in everything + book
        await asyncio.sleep(0)


async def test_nobody_else_may_read_what_the_gateway_keeps(tmp_path: Path) -> None:
    async with site(tmp_path) as (gateway, wire, node):
        await enrolled(gateway, node)
        await gateway.start()
        await linked(gateway)
        wire.say(node.hello(), alarm(node, 1), FakeNode(9).report(1))
        socket = tmp_path / "data" / "control.sock"
        await until(lambda: ask(socket, "alert.list")["alerts"])
        data = tmp_path / "data"
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        kept = {path for path in data.rglob("*") if path.is_file() or path.is_socket()}
        assert {"registry.db", "alerts.db", "store.db", "control.sock"} <= {path.name for path in kept}
        secret = {
            path for path in kept if path.name.startswith(("registry.db", "control.sock", "page-tokens"))
        }
        assert [path.name for path in secret if path.stat().st_mode & 0o077] == []


async def test_the_default_configuration_listens_on_loopback_only(tmp_path: Path) -> None:
    """All listening sockets of the process, as the kernel has them."""
    async with site(tmp_path) as (gateway, _, __):
        await gateway.start()
        assert gateway._process is not None
        pid = gateway._process.pid
        inodes = set()
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # it was closed meanwhile
                if (link := str(fd.readlink())).startswith("socket:["):
                    inodes.add(link[8:-1])
        listening = []
        for table in ("tcp", "tcp6", "udp", "udp6"):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[9] in inodes and (table.startswith("udp") or fields[3] == "0A"):
                    listening.append(fields[1].partition(":")[0])
        assert listening and set(listening) <= {"0100007F", "00000000000000000000000001000000"}
