"""The registry: keys guarded, runs never repeated, checkpoints whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldline_gateway import registry as module
from fieldline_gateway.errors import RegistryError, UsageError
from fieldline_gateway.fleet.tables import Job, Tables
from fieldline_gateway.registry import Checkpoint, Heard, Registry, Settled

NODE = bytes.fromhex("e66178c1ab3c4d21")
KEY = bytes(range(16))


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    opened = Registry(tmp_path / "registry.db")
    opened.open()
    return opened


def again(registry: Registry) -> Registry:
    registry.close()
    registry.open()
    return registry


def test_nobody_else_may_read_the_keys(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    registry = Registry(path)
    registry.open()
    registry.enroll(NODE, "fan", 0, KEY, 1)
    for file in tmp_path.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file
    registry.close()
    path.chmod(0o640)
    with pytest.raises(UsageError, match=r"chmod 600 .*registry\.db"):
        registry.open()


def test_each_start_has_a_run_of_its_own_and_the_gateway_keeps_its_id(registry: Registry) -> None:
    assert registry.begin_run(0xBEEF) == (0xBEEF, 1)
    assert again(registry).begin_run(0x1234) == (0xBEEF, 2)


def test_used_up_runs_are_an_error_and_not_a_second_nonce(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_RUN", 1)
    registry.begin_run(1)
    with pytest.raises(RegistryError, match="used up"):
        registry.begin_run(1)


def test_a_node_is_enrolled_enrolled_anew_and_revoked(registry: Registry) -> None:
    assert registry.enroll(NODE, "fan", 0, KEY, 5)
    assert not registry.enroll(NODE, "fan-1", 1, bytes(16), 6)
    (node,) = again(registry).nodes()
    found = (node.name, node.key_number, node.key, node.added_ms, node.revoked_ms)
    assert found == ("fan-1", 1, bytes(16), 6, None)
    registry.enroll(NODE, "fan-2", 1, bytes(16), 7)
    assert (registry.nodes()[0].name, registry.nodes()[0].added_ms) == ("fan-2", 6)
    assert KEY.hex() not in repr(node) and "key=" not in repr(node)
    assert registry.revoke(NODE, 9)
    assert registry.nodes()[0].revoked_ms == 9
    assert not registry.revoke(bytes(8), 9)


@pytest.mark.parametrize(("node", "key"), [(bytes(8), KEY), (b"short", KEY), (NODE, b"short")])
def test_a_bad_id_or_key_is_refused(registry: Registry, node: bytes, key: bytes) -> None:
    with pytest.raises(UsageError, match=r"node id|key"):
        registry.enroll(node, "x", 0, key, 1)


def loaded(registry: Registry) -> Checkpoint:
    """The last checkpoint, read as a whole."""
    return Checkpoint(
        registry.positions(), tuple(registry.heard()), tuple(registry.settled()), tuple(registry.ended())
    )


def test_many_are_enrolled_together_or_not_at_all(registry: Registry) -> None:
    rows = [(bytes(7) + bytes([number]), f"fan-{number}", 0, KEY) for number in range(1, 5)]
    assert registry.enroll_all(rows[:3], 5) == 3
    assert registry.enroll_all(rows, 6) == 1
    assert [(node.name, node.added_ms) for node in registry.nodes()] == [
        ("fan-1", 5), ("fan-2", 5), ("fan-3", 5), ("fan-4", 6),
    ]  # fmt: skip
    with pytest.raises(UsageError):
        registry.enroll_all([(bytes(7) + b"	", "fan-9", 0, KEY), (bytes(8), "none", 0, KEY)], 7)
    assert len(registry.nodes()) == 4


def test_a_checkpoint_comes_back_as_it_was_saved(registry: Registry) -> None:
    heard = Heard(NODE, 3, 99, 7, 1000, ((2, 500), (3, 900)), b"hello")
    settled = Settled(NODE, 7, 1, ((1, 5), (9, 2**32 - 1)), 1, 3, 2)
    saved = Checkpoint({0: 4, 1: 2**40}, (heard,), (settled,), ())
    registry.save(saved)
    assert loaded(again(registry)) == saved
    registry.save(Checkpoint({1: 2**41}, (), (), ((NODE, 7, 2000),)))
    found = loaded(registry)
    assert found.positions == {0: 4, 1: 2**41}
    assert found.settled == () and found.ended == ((NODE, 7, 2000),)


def test_an_empty_registry_has_an_empty_checkpoint(registry: Registry) -> None:
    assert loaded(registry) == Checkpoint({}, (), (), ())


def test_commands_wait_for_their_result(registry: Registry) -> None:
    first, second = (
        Tables(registry).add_job(Job(0, None, "", "", "", 0, until_ms, None), [NODE], 1, b"")[1][0].id
        for until_ms in (1000, 500)
    )
    assert [command.id for command in registry.open_commands(600)] == [first]
    assert [command.id for command in registry.open_commands(100)] == [first, second]
    registry.save(
        Checkpoint({}, (), (), (), ((NODE, first, 0, b"done"), (bytes(8), second, 0, b"not its own")))
    )
    assert [command.id for command in registry.open_commands(100)] == [second]
    rows = registry.rows("SELECT status, result FROM command ORDER BY id")
    assert rows == [(0, b"done"), (None, None)]


def test_desired_settings_are_replaced(registry: Registry) -> None:
    registry.set_desired(NODE, 1, b"one")
    registry.set_desired(NODE, 2, b"two")
    assert registry.desired() == {NODE: (2, b"two")}


def test_a_change_by_another_process_shows_in_the_version(registry: Registry, tmp_path: Path) -> None:
    before = registry.version()
    registry.enroll(NODE, "fan", 0, KEY, 1)
    assert registry.version() == before  # its own changes it knows
    other = Registry(tmp_path / "registry.db")
    other.open()
    other.enroll(NODE, "other", 0, KEY, 1)
    other.close()
    assert registry.version() != before


def test_what_is_no_database_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    path.write_bytes(b"x" * 5000)
    path.chmod(0o600)
    with pytest.raises(RegistryError, match=r"registry\.db: "):
        Registry(path).open()
    with pytest.raises(RegistryError, match="No such file"):
        Registry(tmp_path / "missing" / "registry.db").open()
