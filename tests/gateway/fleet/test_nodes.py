"""Labels and groups: kept over a restart, found by targets, bounded; today's files open."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from fieldline_gateway.errors import ForbiddenError, RegistryError, UsageError
from fieldline_gateway.operations import Caller, Role
from fieldline_gateway.registry import Registry
from fieldline_wire.messages import Hello
from tests.gateway.fleet.conftest import World


async def names(world: World, target: str) -> list[str]:
    return [node["name"] for node in (await world.call("nodes.list", target=target))["nodes"]]


async def test_labels_are_found_by_targets_and_stay(world: World) -> None:
    await world.call("nodes.tag", target="fan-1 or fan-2", add=["site:kiel", "spare"])
    await world.call("nodes.tag", target="fan-2", add=["line:3"], remove=["spare"])
    told = await world.call(
        "nodes.set", target="fan-2", name="intake", place="hall 2", owner="olga", parent="rack"
    )
    assert told == {"nodes": [world.nodes[1].id.hex()]}
    for _ in range(2):
        assert await names(world, "T@site:kiel") == ["fan-1", "intake"]
        assert await names(world, "T@spare") == ["fan-1"]
        assert await names(world, "G@place:hall* and G@parent:rack and intake") == ["intake"]
        assert (await world.call("nodes.get", node="intake"))["tags"] == ["line:3", "site:kiel"]
        world.again()
    await world.call("nodes.set", target="intake", place="")
    assert await names(world, "G@place:*") == []


async def test_facts_are_those_of_the_last_hello(world: World) -> None:
    node = world.nodes[0]
    assert await names(world, "G@board:pico*") == []
    for firmware in ("0.1.0", "0.2.0"):
        world.hears(node.seal(Hello(7, slot=1, board="pico_w", firmware=firmware).to_bytes()))
        assert await names(world, f"G@board:pico* and G@firmware:{firmware} and G@slot:b") == ["fan-1"]
    assert await names(world, "G@firmware:0.1.0") == []


async def test_groups(world: World) -> None:
    await world.call("group.set", name="two", target="fan-1 or fan-2")
    await world.call("group.set", name="one", target="N@two and not fan-2")
    world.again()
    assert await names(world, "N@one") == ["fan-1"]
    with pytest.raises(UsageError, match="part of itself"):
        await world.call("group.set", name="two", target="N@one")
    await world.call("group.remove", name="two")
    assert [group["name"] for group in (await world.call("group.list"))["groups"]] == ["one"]


@pytest.mark.parametrize(
    ("operation", "arguments", "said"),
    [
        ("nodes.tag", {"target": "*", "add": ["a b"]}, "no tag"),
        ("nodes.tag", {"target": "*", "add": [7]}, "no tag"),
        ("nodes.tag", {"target": "*", "add": [f"t{i}" for i in range(33)]}, "at most 32"),
        ("nodes.tag", {"target": "*"}, "no tags"),
        ("nodes.tag", {"target": "nobody", "add": ["x"]}, "means no node"),
        ("nodes.tag", {"target": "(", "add": ["x"]}, "character 2"),
        ("nodes.set", {"target": "*", "name": "x"}, "means 5 nodes"),
        ("nodes.set", {"target": "fan-1", "place": "x\n"}, "printable"),
        ("nodes.set", {"target": "fan-1"}, "nothing to set"),
        ("nodes.get", {"node": "fan-9"}, "no enrolled node"),
        ("nodes.list", {"target": 7}, "must be a text"),
        ("group.set", {"name": "a b", "target": "*"}, "no name of a group"),
        ("group.remove", {"name": "x"}, "no group"),
    ],
)
async def test_what_is_refused_changes_nothing(
    world: World, operation: str, arguments: dict[str, object], said: str
) -> None:
    before = await world.call("nodes.list")
    with pytest.raises(UsageError, match=said):
        await world.call(operation, **arguments)
    assert await world.call("nodes.list") == before


async def test_a_reader_looks_and_does_not_label(world: World) -> None:
    reader = Caller("kim", Role.READER, "page")
    assert (await world.operations.call(reader, "nodes.list", {}))["of"] == 5
    with pytest.raises(ForbiddenError):
        await world.operations.call(reader, "nodes.tag", {"target": "*", "add": ["x"]})


async def test_a_target_that_takes_too_long_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fieldline_gateway.slices.SLICE", 1)
    monkeypatch.setattr(world.fleet, "_monotonic", iter([0.0, 1.0, 99.0]).__next__)
    with pytest.raises(UsageError, match="takes over"):
        await world.call("nodes.list")


def test_a_file_of_before_opens_and_one_of_later_does_not(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    registry = Registry(path)
    registry.open()
    registry.close()
    with sqlite3.connect(path) as db:  # as the last release left it
        db.executescript(
            "DROP TABLE label; DROP TABLE saved_group; DROP TABLE twin; DROP TABLE job; DROP INDEX command_job;"
            "ALTER TABLE command DROP COLUMN job; ALTER TABLE heard DROP COLUMN config; PRAGMA user_version = 0;"
            "INSERT INTO command (node, code, argument, until_ms) VALUES (x'0000000000000001', 1, x'', 99);"
        )
    db.close()
    for _ in range(2):
        registry.open()
        assert [command.code for command in registry.open_commands(0)] == [1]
        assert registry.rows("SELECT job FROM command") == [(None,)]
        assert list(registry.heard()) == []
        registry.close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 3")
    db.close()
    with pytest.raises(RegistryError, match="newer version"):
        registry.open()
