"""Who may ask for twins over MQTT, and what stock command-line clients see; the listener is in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fieldline_gateway import cli, config
from fieldline_gateway.callers import Callers
from fieldline_gateway.errors import RegistryError
from fieldline_gateway.fleet.topics import MAX_WAITING, TwinTopics
from fieldline_gateway.mqtt.codec import v5, v311
from fieldline_gateway.mqtt.listener import Listener
from fieldline_gateway.mqtt.security import Passwords, Security, Who, certified, hash_password
from fieldline_gateway.operations import Role
from fieldline_gateway.web.tokens import Tokens, digest, new_secret
from fieldline_harness.mosquitto import find_program
from fieldline_host.tomlfile import ConfigError
from tests.gateway.fleet.conftest import World

NODE = "0000000000000001"
WAIT_S = 60.0


class Site:
    """A listener in front of a World."""

    def __init__(self, world: World, listener: Listener, tokens: Tokens) -> None:
        self.world = world
        self.listener = listener
        self.tokens = tokens
        self.secret = new_secret()
        tokens.add("olga", "operator", digest(self.secret))

    def token(self, name: str, role: str) -> str:
        secret = new_secret()
        self.tokens.add(name, role, digest(secret))
        return secret

    async def run(self, program: str, *words: str, stdin: bytes = b"") -> tuple[int, str]:
        """A client of mosquitto: its exit code and what it printed."""
        process = await asyncio.create_subprocess_exec(
            find_program(program), "-h", "127.0.0.1", "-p", str(self.listener.port), *words,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(WAIT_S):
            said, _ = await process.communicate(stdin)
        return process.returncode or 0, said.decode()

    @asynccontextmanager
    async def watching(
        self, *words: str, topic: str = "twin/#"
    ) -> AsyncIterator[asyncio.Queue[tuple[str, Any]]]:
        """mosquitto_sub; what it prints, as (topic, payload)."""
        before = self.subscribed(topic)
        process = await asyncio.create_subprocess_exec(
            find_program("mosquitto_sub"), "-h", "127.0.0.1", "-p", str(self.listener.port), "-v", "-t", topic,
            *words, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        found: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

        async def read() -> None:
            assert process.stdout
            async for line in process.stdout:
                where, _, said = line.decode().partition(" ")
                found.put_nowait((where, json.loads(said)))

        reading = asyncio.create_task(read())
        try:
            await until(lambda: self.subscribed(topic) > before)
            yield found
        finally:
            process.terminate()
            await process.wait()
            await reading

    def subscribed(self, topic: str) -> int:
        """How many that are connected have this filter."""
        sessions = self.listener.broker._sessions.values()
        return sum(session.outlet is not None and topic in session.subscriptions for session in sessions)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not true():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def site(
    world: World, tmp_path: Path, *passwords: str, **roles: tuple[str, ...]
) -> AsyncIterator[Site]:
    security = Security()
    if passwords:
        lines = [f"{name}:{hash_password(name[::-1].encode())}\n" for name in passwords]
        (tmp_path / "passwords").write_text("".join(lines))
        security = Security(passwords=Passwords.load(tmp_path / "passwords"))
    tokens = Tokens(tmp_path / "tokens.json", world.utc_ms)
    callers = Callers(tokens, roles.get("readers", ()), roles.get("operators", ()))
    listener = Listener("127.0.0.1", 0, security=security, keys=callers)
    clock = asyncio.get_running_loop().time
    topics = TwinTopics(
        listener.broker, world.operations, callers.caller, lambda: world.utc_ms() // 1000, clock
    )
    world.twins.on_change.append(topics.note)
    async with topics.running(), listener:
        yield Site(world, listener, tokens)


async def test_a_stock_client_on_the_command_line(world: World, tmp_path: Path) -> None:
    """As docs/fleet.md shows it."""
    async with site(world, tmp_path) as there:
        me = ("-u", "olga", "-P", there.secret)
        code, said = await there.run(
            "mosquitto_rr", *me, "-t", f"twin/{NODE}/update", "-e", f"twin/{NODE}/update/accepted",
            "-m", '{"state":{"desired":{"config":{"report_ms":5000}}},"clientToken":"a"}',
        )  # fmt: skip
        assert code == 0 and json.loads(said)["clientToken"] == "a"
        code, said = await there.run(
            "mosquitto_rr", *me, "-t", f"twin/{NODE}/get", "-e", f"twin/{NODE}/get/accepted", "-n"
        )
        assert code == 0 and json.loads(said)["state"]["delta"] == {"config": {"report_ms": 5000}}
        async with there.watching(*me) as heard:
            request = {"state": {"desired": {"note": "x"}}, "version": 9}
            assert (await there.run("mosquitto_pub", *me, "-t", f"twin/{NODE}/update", "-q", "1",
                                    "-m", json.dumps(request)))[0] == 0  # fmt: skip
            where, said_ = await heard.get()
            assert (where, said_["code"]) == (f"twin/{NODE}/update/rejected", 409)
            assert (await there.run("mosquitto_pub", *me, "-t", f"twin/{NODE}/delete", "-n"))[0] == 0
            assert (await heard.get())[0] == f"twin/{NODE}/delete/accepted"


async def test_changes_by_other_doors_and_by_the_node_itself_are_told(world: World, tmp_path: Path) -> None:
    async with site(world, tmp_path) as there, there.watching("-u", "olga", "-P", there.secret) as heard:
        await world.call("twin.update", node="fan-1", state={"desired": {"config": {"report_ms": 5000}}},
                         clientToken="cli")  # fmt: skip
        delta, documents = await heard.get(), await heard.get()
        assert delta[0] == f"twin/{NODE}/update/delta" and delta[1]["clientToken"] == "cli"
        assert documents[0] == f"twin/{NODE}/update/documents"
        node = world.nodes[0]
        world.hears(node.hello())
        (config,) = [message for message in world.down(node) if type(message).__name__ == "Config"]
        world.hears(node.seal(type(config)(config.version, config.settings, reported=True).to_bytes()))
        await world.twins.keep_reported()
        where, said = await heard.get()
        assert where == f"twin/{NODE}/update/documents", "it has converged: no delta"
        assert said["current"]["state"]["reported"]["config"] == {"report_ms": 5000}
        await world.call("twin.update", target="*", state={"desired": {"x": 1}})
        told = [(await heard.get())[0] for _ in range(10)]
        assert sorted(told) == sorted(
            f"twin/{number:016x}/update/{what}" for number in range(1, 6) for what in ("delta", "documents")
        )


async def test_nobody_in_particular_may_touch_nothing(world: World, tmp_path: Path) -> None:
    """A listener without passwords: who gives no token asks in vain, whatever name it gives."""
    await world.call("twin.update", node="fan-1", state={"desired": {"a": 1}})
    async with (
        site(world, tmp_path, operators=("olga", "")) as there,
        there.watching("-u", "olga", "-P", there.secret) as operator,
        there.watching("-i", "curious", "-u", "olga") as nobody,
        there.watching("-i", "all", topic="#") as everything,
    ):
        for action in ("get", "update", "delete"):
            code, _ = await there.run("mosquitto_pub", "-i", "curious2", "-u", "olga", "-t",
                                      f"twin/{NODE}/{action}", "-m", '{"state":{"desired":{"a":2}}}')  # fmt: skip
            assert code == 0
        await there.run("mosquitto_pub", "-t", "a/reading", "-m", "1")
        assert await everything.get() == ("a/reading", 1), "and nothing of twins before it"
        await world.call("twin.update", node="fan-1", state={"desired": {"b": 1}})
        assert (await operator.get())[1]["version"] == 2, "and nothing was changed before it"
        await there.run("mosquitto_pub", "-i", "curious3", "-t", "a/reading", "-m", "2")
        assert await everything.get() == ("a/reading", 2)
        assert nobody.empty()


async def test_who_asks_in_vain_is_told_so_itself(world: World, tmp_path: Path) -> None:
    async with site(world, tmp_path) as there:
        code, said = await there.run(
            "mosquitto_rr",
            "-t",
            f"twin/{NODE}/get",
            "-e",
            f"twin/{NODE}/get/rejected",
            "-m",
            '{"clientToken":"t"}',
        )
        assert code == 0
        told = json.loads(said)
        assert (told["code"], told["clientToken"]) == (403, "t") and "docs/fleet.md" in told["message"]


@pytest.mark.parametrize("passwords", [(), ("site-node",)])
async def test_a_token_that_is_none_does_not_let_in(
    world: World, tmp_path: Path, passwords: tuple[str, ...]
) -> None:
    async with site(world, tmp_path, *passwords) as there:
        code, said = await there.run("mosquitto_pub", "-u", "olga", "-P", new_secret(), "-t", "a", "-m", "1")
        assert code and "bad user name or password" in said
        assert there.listener.broker.counts["refused_logins"] == 1


async def test_a_token_that_is_revoked_ends_at_once(world: World, tmp_path: Path) -> None:
    async with site(world, tmp_path) as there:
        secret = there.token("kim", "operator")
        async with there.watching("-u", "kim", "-P", secret) as heard:
            await world.call("twin.update", node="fan-1", state={"reported": {"a": 1}})
            await heard.get()
            kim = next(peer for peer in there.listener.peers if peer.who.name == "kim")
            there.tokens.revoke("kim")
            await world.call("twin.update", node="fan-1", state={"reported": {"a": 2}})
            await until(lambda: kim not in there.listener.peers)
            assert heard.empty()


async def test_a_session_is_its_owners(world: World, tmp_path: Path) -> None:
    """What waits for one client is not given to another that takes its client identifier."""
    async with site(world, tmp_path) as there:
        words = ("-i", "panel", "-c", "-q", "1")
        async with there.watching(*words, "-u", "olga", "-P", there.secret):
            pass
        await world.call("twin.update", node="fan-1", state={"reported": {"a": 1}})
        await until(lambda: there.listener.broker.counts["delivered"] > 0)  # it waits
        async with there.watching(*words, topic="a/reading") as heard:
            await there.run("mosquitto_pub", "-t", "a/reading", "-m", "1")
            assert await heard.get() == ("a/reading", 1)


async def test_names_and_passwords_have_roles(world: World, tmp_path: Path) -> None:
    await world.call("twin.update", node="fan-1", state={"reported": {"a": 1}})
    async with site(
        world, tmp_path, "panel", "scada", "site-node", readers=("panel",), operators=("scada",)
    ) as there:
        for name, action, answer in (
            ("panel", "get", "accepted"),
            ("panel", "update", "rejected"),
            ("site-node", "get", "rejected"),
            ("scada", "update", "accepted"),
            ("scada", "delete", "accepted"),
        ):
            code, _ = await there.run(
                "mosquitto_rr", "-u", name, "-P", name[::-1], "-t", f"twin/{NODE}/{action}",
                "-e", f"twin/{NODE}/{action}/{answer}", "-m", '{"state":{"reported":{"a":2}}}', "-W", "10",
            )  # fmt: skip
            assert code == 0, (name, action)


async def test_a_will_asks_nothing(world: World, tmp_path: Path) -> None:
    async with site(world, tmp_path) as there:
        will = v311.Will(f"twin/{NODE}/update", b'{"state":{"reported":{"a":1}}}', 1, False)
        reader, writer = await asyncio.open_connection("127.0.0.1", there.listener.port)
        connect = v311.Connect("x", username="olga", password=there.secret.encode(), will=will)
        writer.write(connect.to_bytes())
        assert await reader.readexactly(4) == b"\x20\x02\x00\x00"
        writer.transport.abort()
        await until(lambda: there.listener.broker.counts["refused_topics"] == 1)
        assert not world.fleet.twins


async def test_too_many_requests_at_once_are_turned_away(world: World, tmp_path: Path) -> None:
    async with site(world, tmp_path) as there, there.watching("-u", "olga", "-P", there.secret) as heard:
        reader, writer = await asyncio.open_connection("127.0.0.1", there.listener.port)
        writer.write(v5.Connect("x", username="olga", password=there.secret.encode()).to_bytes())
        await reader.readexactly(2)
        async with world.fleet.turn:  # nothing is answered meanwhile
            for number in range(MAX_WAITING + 2):
                packet = v5.Publish(f"twin/{NODE}/update", b'{"state":{}}', 1, packet_id=number + 1)
                writer.write(packet.to_bytes())
            told = [await heard.get() for _ in range(2)]
            assert [said["code"] for _, said in told] == [429, 429]
        answers = [await heard.get() for _ in range(2 * MAX_WAITING)]
        assert sum(where.endswith("/accepted") for where, _ in answers) == MAX_WAITING
        writer.close()


async def test_what_fails_in_the_gateway_is_said_and_the_next_is_answered(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(world, tmp_path) as there, there.watching("-u", "olga", "-P", there.secret) as heard:
        me = ("-u", "olga", "-P", there.secret, "-t", f"twin/{NODE}/update", "-m", '{"state":{}}')
        save = world.fleet.tables.save_twins
        for error in (RegistryError("disk full"), ZeroDivisionError()):

            def fail(*_: object, error: Exception = error) -> None:
                raise error

            monkeypatch.setattr(world.fleet.tables, "save_twins", fail)
            await there.run("mosquitto_pub", *me)
            where, said = await heard.get()
            assert (where, said["code"]) == (f"twin/{NODE}/update/rejected", 500)
        monkeypatch.setattr(world.fleet.tables, "save_twins", save)
        await there.run("mosquitto_pub", *me)
        assert (await heard.get())[0] == f"twin/{NODE}/update/accepted"


def test_a_certificate_s_name_has_a_role_and_no_name_has_none(tmp_path: Path) -> None:
    callers = Callers(Tokens(tmp_path / "none", lambda: 0), ["panel"], ["scada"])
    shown = {"subject": ((("organizationName", "site"),), (("commonName", "scada"),))}
    caller = callers.caller(certified(shown))
    assert caller is not None and (caller.role, caller.via) == (Role.OPERATOR, "mqtt")
    assert callers.caller(certified({"subject": ()})) is None
    assert callers.caller(Who("scada", "")) is None, "a name that nobody proved"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('operators = ["scada"]', "nobody can prove"),
        ('password_file = "p"\noperators = ["scadda"]', "nobody can prove"),
        ('password_file = "p"\nreaders = ["scada"]\noperators = ["scada"]', "name it once"),
        ('bind = "0.0.0.0:0"\ninsecure = true\npassword_file = "p"\noperators = ["scada"]', "wants TLS"),
        ('readers = "panel"', "list of strings"),
    ],
)
def test_roles_that_cannot_be_are_refused_with_their_line(tmp_path: Path, lines: str, said: str) -> None:
    (tmp_path / "p").write_text(f"scada:{hash_password(b'x')}\n")
    path = tmp_path / "gateway.toml"
    path.write_text(f"[listener]\nnodes = true\n{lines}\n")
    with pytest.raises(ConfigError, match=said):
        config.load(path)


def test_a_token_is_not_taken_where_others_read_along(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    for bind, private in (("127.0.0.1:0", True), ("0.0.0.0:0", False)):
        path.write_text(f'[listener]\nnodes = true\ninsecure = true\nbind = "{bind}"\n')
        found = config.load(path).listener
        assert found is not None and found.private_way is private


def test_check_says_who_may(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p").write_text(f"scada:{hash_password(b'x')}\n")
    path = tmp_path / "gateway.toml"
    for lines, said in (
        ('password_file = "p"\noperators = ["scada"]', "for whoever has a token, scada (operator)"),
        ('bind = "0.0.0.0:0"\ninsecure = true', "for nobody"),
    ):
        path.write_text(f"[listener]\nnodes = true\n{lines}\n")
        assert cli.main(["check", "-c", str(path)]) == 0
        assert f"twins     over MQTT {said}\n" in capsys.readouterr().out
