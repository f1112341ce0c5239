"""Strangers, clones and limits: counted, bounded, shown; what is over a limit is kept by the node and not lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fieldline_gateway.errors import GatewayError
from fieldline_gateway.guard.audit import HIDDEN, AuditError, AuditLog, redact
from fieldline_gateway.guard.strangers import Guard
from fieldline_gateway.ingest.came import Moment
from fieldline_gateway.ingest.limits import LimitRules
from fieldline_gateway.ingest.quarantine import FLOOD_PER_MIN, MAX_OFTEN, MAX_ONCE, Quarantine
from fieldline_gateway.ingest.rules import Ingest
from fieldline_gateway.operations import Arguments, Caller, Operations, Role
from fieldline_gateway.records import ALARM, LIVE
from fieldline_host.chain import tail, verify
from fieldline_wire.messages import ACK_HOLD
from tests.fakes.gateway_node import KEY, FakeNode, settled
from tests.gateway.test_ingest import UTC, FakeStore

OLGA = Caller("olga", Role.OPERATOR, "page")


def ingest(*nodes: FakeNode, rules: LimitRules | None = None) -> tuple[Ingest, FakeStore]:
    store = FakeStore()
    found = Ingest(store, 1, 1, rules or LimitRules())
    found.set_nodes(node.enrolled() for node in nodes)
    return found, store


def test_strangers_are_counted_and_never_stored() -> None:
    unknown, known = FakeNode(1), FakeNode(2)
    found, store = ingest(known)
    found.set_nodes([FakeNode(3).enrolled(revoked=True)])
    for second in range(4):
        found.receive(Moment(UTC + second, second), "usb1", unknown.report(1))
    found.receive(Moment(UTC, 0), "usb2", FakeNode(3).report(1))
    found.receive(Moment(UTC, 0), "usb2", FakeNode(2, key=bytes(16)).report(1))
    entries = {entry.node: entry for entry in found.quarantine.entries()}
    assert {node[-1]: entry.why for node, entry in entries.items()} == {
        1: "unknown-node",
        2: "wrong-key",
        3: "revoked",
    }
    first = entries[unknown.id]
    assert (first.count, first.first_ms, first.last_ms, first.link) == (4, UTC, UTC + 3, "usb1")
    assert not store.records and not found.downlinks


def test_a_flood_of_invented_ids_costs_bounded_memory_and_hides_nobody() -> None:
    quarantine = Quarantine()
    regular = b"regular!"
    for _ in range(5):
        quarantine.add(regular, "unknown-node", "usb1", UTC, 0)
    for number in range(20_000):
        quarantine.add(number.to_bytes(8, "big"), "unknown-node", "usb1", UTC + number, number)
    entries = quarantine.entries()
    assert len(entries) <= MAX_ONCE + MAX_OFTEN and any(entry.node == regular for entry in entries)
    assert quarantine.messages == 20_005 and quarantine.forgotten > 19_000
    assert quarantine.flooded(20_000) and not quarantine.flooded(20_000 + 6 * 60_000)
    assert len(quarantine.take_fresh()) <= MAX_ONCE and quarantine.forget([regular]) == 1


def test_a_site_with_some_strangers_is_no_flood() -> None:
    quarantine = Quarantine()
    for number in range(FLOOD_PER_MIN):
        quarantine.add(number.to_bytes(8, "big"), "unknown-node", "usb1", UTC, 1)
    assert not quarantine.flooded(1)


def test_what_is_over_the_limit_is_held_back_and_comes_later() -> None:
    node = FakeNode()
    rules = LimitRules(messages_per_s=10, burst=10, alarms_per_s=1, alarm_burst=2)
    found, store = ingest(node, rules=rules)
    now = Moment(UTC, 1000)
    found.receive(now, "usb1", node.hello())
    for number in range(1, 31):
        found.receive(now, "usb1", node.report(number))
    store.sync(found)
    ack = node.acks(found.downlinks.take())[LIVE]
    taken = ack.next - 1
    assert taken == 9 and ack.status == ACK_HOLD and not settled(ack, 10, 10)
    assert found.limited[node.id].over == 21

    later = Moment(UTC + 3000, 4000)
    for number in range(taken + 1, 15):
        found.receive(later, "usb1", node.report(number))
    store.sync(found)
    assert settled(node.acks(found.downlinks.take())[LIVE], 1, 14)


def test_alarms_pass_a_limit_that_is_reached_and_no_more_than_their_own() -> None:
    node = FakeNode()
    rules = LimitRules(messages_per_s=1, burst=10, alarms_per_s=1, alarm_burst=2)
    found, store = ingest(node, rules=rules)
    now = Moment(UTC, 1000)
    for number in range(1, 31):
        found.receive(now, "usb1", node.report(number))
    for number in range(1, 6):
        found.receive(now, "usb1", node.report(number, cls=ALARM))
    assert [record.first for record in store.records if record.cls == ALARM] == [1, 2]
    limit = found.limited[node.id]
    assert limit.alarms_over == 3 and limit.over == 23
    other = FakeNode(2)
    found.set_nodes([other.enrolled()])
    found.receive(now, "usb1", other.report(1))
    assert store.records[-1].node == other.id, "one node's flood is nobody else's"


async def test_a_clone_is_evidence_until_the_key_changes_and_stands_in_the_audit_log(tmp_path: Path) -> None:
    node, copy = FakeNode(epoch=5), FakeNode(epoch=2)
    found, _ = ingest(node)
    async with AuditLog(tmp_path, lambda: UTC) as audit:
        guard = Guard(found, audit)
        operations = Operations(audit)
        guard.add_to(operations)
        found.receive(Moment(UTC, 0), "usb1", node.report(1))
        found.receive(Moment(UTC + 1, 1), "usb2", copy.report(1))
        guard.look(1)
        (clone,) = (await operations.call(OLGA, "clone.list", {}))["clones"]
        assert clone["links"] == ["usb1", "usb2"] and "boot 2" in clone["why"]
        new = FakeNode(key=bytes(15) + b"\1")
        found.set_nodes([new.enrolled()])
        guard.registry_changed()
        assert (await operations.call(OLGA, "clone.list", {}))["clones"] == []
    assert [line["what"] for line in tail(tmp_path, 9)][:2] == ["log-started", "clone-alarm"]


async def test_an_operation_is_in_the_audit_log_before_its_answer_and_without_its_secrets(
    tmp_path: Path,
) -> None:
    async def enroll(_: Caller, arguments: Arguments) -> None:
        if arguments["name"] == "bad":
            raise GatewayError(f"the key {arguments['key']} of {arguments['password']} is wrong")

    async with AuditLog(tmp_path, lambda: UTC) as audit:
        operations = Operations(audit)
        operations.changes("node.enroll", enroll)
        arguments = {"name": "fan", "key": KEY.hex(), "password": "hunter2", "list": [[KEY.hex()]]}
        await operations.call(OLGA, "node.enroll", arguments)
        (line,) = tail(tmp_path, 1)
        assert (line["who"], line["via"], line["what"], line["outcome"]) == (
            "olga",
            "page",
            "node.enroll",
            "done",
        )
        try:
            await operations.call(OLGA, "node.enroll", {**arguments, "name": "bad"})
        except GatewayError:
            pass
        (line,) = tail(tmp_path, 1)
        assert line["outcome"] == f"refused: the key {HIDDEN} of {HIDDEN} is wrong"
    text = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert KEY.hex().encode() not in text and b"hunter2" not in text
    assert verify(tmp_path).faults == ()
    assert redact({"key_number": 3, "token": "x"}) == {"key_number": 3, "token": HIDDEN}


async def test_nothing_is_changed_while_the_disk_refuses_and_what_was_done_is_written_later(
    tmp_path: Path,
) -> None:
    ran: list[int] = []

    async def move(_: Caller, __: Arguments) -> None:
        ran.append(1)

    import os
    from unittest import mock

    async with AuditLog(tmp_path, lambda: UTC) as audit:
        operations = Operations(audit)
        operations.changes("move", move)
        with mock.patch.object(os, "fdatasync", side_effect=OSError(28, "No space left on device")):
            for _ in range(2):
                try:
                    await operations.call(OLGA, "move", {})
                    raise AssertionError("it was answered")
                except AuditError:
                    pass
        assert ran == [1]
        await audit.retry()
        await operations.call(OLGA, "move", {})
    assert [line["what"] for line in tail(tmp_path, 9)] == ["log-started", "move", "move", "move"]
    assert verify(tmp_path).faults == ()


async def test_many_callers_share_the_disk(tmp_path: Path) -> None:
    async with AuditLog(tmp_path, lambda: UTC) as audit:
        await asyncio.gather(*(audit.asked(OLGA, f"op{n}", {}, "") for n in range(200)))
    assert len(tail(tmp_path, 1000)) == 201 and verify(tmp_path).faults == ()
