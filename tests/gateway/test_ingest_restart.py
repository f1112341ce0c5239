"""Ingest over restarts: the checkpoint and the log rebuild what is settled; nothing acknowledged is lost.

The disk loses what was not synced, and the gateway is killed at every operation on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar

import pytest

from fieldline_gateway.errors import StoreError
from fieldline_gateway.ingest import checkpoint
from fieldline_gateway.ingest.came import Moment
from fieldline_gateway.ingest.rules import Ingest
from fieldline_gateway.records import ALARM, BULK, CLASSES, KIND_GAP, KIND_REPORT, LIVE, Position
from fieldline_gateway.registry import Checkpoint, Registry
from fieldline_gateway.store.log import GroupRules
from fieldline_gateway.store.store import Store, StoreSettings
from fieldline_wire.messages import Config, Report, decode
from tests.fakes.gateway_files import LossyFiles
from tests.fakes.gateway_node import FakeNode
from tests.fakes.gateway_records import NOW_MS, everything, new_store

T = TypeVar("T")

SETTINGS = StoreSettings(segment_bytes=900, group=GroupRules(interval_ms=0, records=1000))


class Gateway:
    """Store, registry and ingest, as app.py wires them."""

    def __init__(self, files: LossyFiles, folder: Path, *nodes: FakeNode) -> None:
        self.store: Store = new_store(files, folder, SETTINGS)
        self.registry = Registry(folder / "registry.db")
        self.acks: dict[int, tuple[int, list[tuple[int, int]]]] = {}
        self._nodes = nodes

    async def start(self) -> None:
        self.registry.open()
        positions = self.registry.positions()
        await self.store.open(positions)
        self.ingest = Ingest(self.store, 1, self.registry.begin_run(1)[1])
        self.ingest.set_nodes(node.enrolled() for node in self._nodes)
        checkpoint.load(self.ingest, self.registry)
        for cls in (LIVE, ALARM, BULK):
            position = Position(cls, positions.get(cls, 0))
            self.store.checkpoint(position)
            async for batch in self.store.replay(position):
                checkpoint.replay(self.ingest, [stored.record for stored in batch])
        self.store.on_durable.append(self.ingest.durable)
        checkpoint.finish_replay(self.ingest, NOW_MS)

    async def stop(self) -> None:
        await self.store.close()
        self.registry.close()

    def hear(self, *sealed: bytes) -> None:
        for one in sealed:
            self.ingest.receive(Moment(NOW_MS, 0), "tty0", one)

    async def on_disk(self) -> None:
        """All that was taken is on the disk, or the disk is gone."""
        held = asyncio.Event()
        self.store.on_held.append(lambda reason: held.set())
        waits = [
            asyncio.ensure_future(self.store.wait_durable(Position(log.cls, log.next_seq - 1)))
            for log in self.store._logs
        ]
        stop = asyncio.ensure_future(held.wait())
        every = asyncio.gather(*waits)
        if self.store.held is None:
            await asyncio.wait([every, stop], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        for wait in waits:
            wait.cancel()
        await asyncio.gather(every, return_exceptions=True)

    def save(self) -> Checkpoint:
        positions = {cls: self.store.durable(cls) for cls in CLASSES}
        changed = checkpoint.changes(self.ingest, positions, NOW_MS)
        self.registry.save(changed)
        checkpoint.saved(self.ingest, changed)
        return changed

    def answers(self, node: FakeNode) -> set[tuple[int, int, int]]:
        """(stream, class, number) of all that the Acks cover which wait to go out."""
        found = set()
        for ack in node.acks(self.ingest.downlinks.take()).values():
            spans = [(1, ack.next - 1), *ack.ranges]
            found |= {(ack.stream, ack.cls, n) for first, last in spans for n in range(first, last + 1)}
        return found

    async def stored(self) -> list[tuple[int, int, int]]:
        """(stream, class, number) of every reading and every number in a gap, in the log's order."""
        found = []
        for cls in CLASSES:
            for stored in await everything(self.store, cls):
                record = stored.record
                if record.kind in (KIND_REPORT, KIND_GAP):
                    found += [(record.stream, cls, n) for n in range(record.first, record.last + 1)]
        return found


async def started(files: LossyFiles, folder: Path, *nodes: FakeNode) -> Gateway:
    gateway = Gateway(files, folder, *nodes)
    await gateway.start()
    return gateway


@pytest.mark.parametrize("checkpoint_after", [None, 2, 4, 7])
async def test_what_was_stored_is_known_after_a_restart(tmp_path: Path, checkpoint_after: int | None) -> None:
    files, node = LossyFiles(), FakeNode()
    gateway = await started(files, tmp_path, node)
    messages = [
        node.hello([(LIVE, 20, 1)]),
        node.report(1, 3),
        node.report(1, cls=ALARM),
        node.hello([(LIVE, 20, 6)]),
        node.report(6, 2),
        node.gap(8, 9),
        node.report(2, 2, cls=BULK),
    ]
    for count, message in enumerate(messages, 1):
        gateway.hear(message)
        await gateway.on_disk()
        if count == checkpoint_after:
            gateway.save()
    before = await gateway.stored()
    await gateway.stop()

    gateway = await started(files.power_cycle(1), tmp_path, node)
    gateway.hear(*messages)  # recorded: refused
    assert gateway.ingest.refusals.counts["replay"] == 7
    node.reboot()
    gateway.hear(
        node.report(1, 3), node.report(1, cls=ALARM), node.report(6, 2), node.gap(8, 9), node.report(2, 2, 2)
    )
    assert gateway.answers(node) == set(before)
    assert await gateway.stored() == before
    numbers = gateway.ingest.states[node.id].current()[LIVE]
    assert (numbers.last, numbers.gaps) == (19, 2)
    await gateway.stop()


async def test_readings_of_an_earlier_boot_keep_their_time_over_a_restart(tmp_path: Path) -> None:
    files, node = LossyFiles(), FakeNode()
    gateway = await started(files, tmp_path, node)
    gateway.hear(node.hello(uptime=100))
    await gateway.on_disk()
    gateway.save()
    await gateway.stop()
    gateway = await started(files, tmp_path, node)
    node.reboot()
    gateway.hear(node.report(1, base_time=40, epoch=1))
    await gateway.on_disk()
    (*_, stored) = await everything(gateway.store, LIVE)
    assert stored.record.time_ms == NOW_MS - 100_000 - 500 + 40_000
    await gateway.stop()


@pytest.mark.parametrize("checkpoint_between", [False, True])
async def test_a_stream_that_ended_while_the_gateway_was_killed_still_becomes_gaps(
    tmp_path: Path, checkpoint_between: bool
) -> None:
    """The Hello of the new stream reaches the disk, the gap of the old one does not."""
    files, node = LossyFiles(), FakeNode()
    gateway = await started(files, tmp_path, node)
    gateway.hear(node.report(1, cls=ALARM), node.hello([(ALARM, 5, 4)]), node.report(4, cls=ALARM))
    await gateway.on_disk()
    gateway.save()
    gateway.hear(node.report(5, cls=ALARM), node.hello([(ALARM, 9, 4)]))
    await gateway.on_disk()
    files.fault = lambda operation, name: StoreError("EIO", "io") if "alarm" in name else None
    node.stream = 8
    gateway.hear(node.hello())
    await gateway.on_disk()
    await gateway.store.wait_durable(Position(LIVE, 3))
    if checkpoint_between:
        assert gateway.save().ended == ()
    files.fault = None
    files.cut_at = files.operations
    await gateway.stop()

    files = files.power_cycle(3)
    gateway = await started(files, tmp_path, node)
    await gateway.on_disk()
    of_old = [number for stream, _, number in await gateway.stored() if stream == 7]
    assert sorted(of_old) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert gateway.save().ended == ((node.id, 7, NOW_MS),)
    await gateway.stop()
    gateway = await started(files, tmp_path, node)
    assert (await gateway.stored()).count((7, ALARM, 2)) == 1
    node.stream = 7
    node.reboot()
    gateway.hear(node.hello())
    assert gateway.ingest.refusals.counts["ended-stream"] == 1
    await gateway.stop()


async def test_a_checkpoint_that_could_not_be_saved_is_part_of_the_next(tmp_path: Path) -> None:
    files, node = LossyFiles(), FakeNode()
    gateway = await started(files, tmp_path, node)
    gateway.hear(node.report(1))
    await gateway.on_disk()
    lost = checkpoint.changes(gateway.ingest, {LIVE: 1}, NOW_MS)
    checkpoint.give_back(gateway.ingest, lost)
    assert checkpoint.changes(gateway.ingest, {LIVE: 1}, NOW_MS) == lost
    assert checkpoint.changes(gateway.ingest, {LIVE: 1}, NOW_MS).heard == ()
    await gateway.stop()


async def test_what_the_last_hello_said_is_known_after_a_restart_without_another(tmp_path: Path) -> None:
    """A node that dropped what is below 100 goes on at 100; it does not know that the gateway was restarted."""
    files, node = LossyFiles(), FakeNode()
    gateway = await started(files, tmp_path, node)
    gateway.hear(node.hello([(LIVE, 5, 1), (ALARM, 1, 1), (BULK, 1, 1)], config_version=9), node.report(1, 4))
    await gateway.on_disk()
    gateway.hear(node.hello([(LIVE, 120, 100), (ALARM, 1, 1), (BULK, 1, 1)], config_version=10))
    await gateway.on_disk()
    assert {row.cls for row in gateway.save().settled} == {LIVE}, "a class without numbers needs no row"
    await gateway.stop()
    gateway = await started(files, tmp_path, node)
    state = gateway.ingest.states[node.id]
    assert state.current()[LIVE].kept == 0  # it costs nothing before it is needed
    gateway.hear(node.report(100, 3))
    await gateway.on_disk()
    assert [number for _, _, number in await gateway.stored()][-3:] == [100, 101, 102]
    assert state.current()[LIVE].kept == 100 and state.config_version == 9, "10 was never told by a Config"
    await gateway.stop()


@pytest.mark.parametrize("known", [True, False], ids=["in its twin", "not in its twin yet"])
async def test_settings_that_a_node_has_told_are_not_told_it_again_after_a_restart(
    tmp_path: Path, known: bool
) -> None:
    """It said Hello before it had them; the checkpoint is later than its answer."""
    files, node = LossyFiles(), FakeNode()
    wanted = Config(7, [(1, 1, 1000)])
    gateway = await started(files, tmp_path, node)
    gateway.registry.set_desired(node.id, 7, wanted.to_bytes())
    gateway.hear(node.hello(config_version=3), node.report(1))
    gateway.hear(node.seal(Config(7, wanted.settings, reported=True).to_bytes()))
    await gateway.on_disk()
    if known:
        gateway.ingest.reported.clear()
    gateway.save()
    await gateway.stop()
    gateway = await started(files, tmp_path, node)
    gateway.ingest.orders.set_desired(gateway.registry.desired())
    gateway.hear(node.hello(config_version=7))
    told = [message for message in node.hear(gateway.ingest.downlinks.take()) if isinstance(message, Config)]
    assert told == ([] if known else [wanted])
    await gateway.stop()


async def test_a_node_with_a_new_key_may_count_its_boots_anew(tmp_path: Path) -> None:
    files, node = LossyFiles(), FakeNode(epoch=9)
    gateway = await started(files, tmp_path, node)
    gateway.registry.enroll(node.id, "fan", 0, node.key, 1)
    gateway.hear(node.report(1))
    await gateway.on_disk()
    gateway.save()
    gateway.hear(node.report(2))
    await gateway.on_disk()
    node.key, node.epoch, node.counter, node.added_ms = bytes(16), 1, 0, NOW_MS + 1
    gateway.registry.enroll(node.id, "fan", 0, node.key, node.added_ms)
    await gateway.stop()
    gateway = await started(files, tmp_path, node)
    gateway.hear(node.report(3))
    assert not any(gateway.ingest.refusals.counts.values())
    await gateway.stop()


async def life(gateway: Gateway, node: FakeNode, acked: set[tuple[int, int, int]], first: int) -> None:
    """A node reports, repeats what is not acknowledged, is wiped once; the gateway makes checkpoints."""
    gateway.hear(node.hello([(LIVE, first, first), (ALARM, first, first)]))
    for turn in range(6):
        if turn == 3:
            node.stream += 1
            gateway.hear(node.hello([(LIVE, first, first), (ALARM, first, first)]))
        number = first + 2 * turn
        for _ in range(2):  # the second is a repeat
            gateway.hear(node.report(number, 2), node.report(number, 2, cls=ALARM))
        await gateway.on_disk()
        acked |= gateway.answers(node)
        if turn % 2 and gateway.store.held is None:
            gateway.save()


async def started_and_stored(gateway: Gateway) -> list[tuple[int, int, int]]:
    await gateway.start()
    return await gateway.stored()


async def while_lit(files: LossyFiles, work: Coroutine[None, None, T]) -> T:
    """The work's result; StoreError where the power went, without which reading waits for the disk to come back."""
    task = asyncio.ensure_future(work)
    while not task.done() and not files.dark:
        await asyncio.wait([task], timeout=0.005)
    if not task.done():
        task.cancel()
        await asyncio.wait([task])
        raise StoreError("dark")
    return await task


async def boot(
    files: LossyFiles, folder: Path, node: FakeNode, acked: set[tuple[int, int, int]], first: int
) -> None:
    gateway = Gateway(files, folder, node)
    node.reboot()
    try:
        stored = await while_lit(files, started_and_stored(gateway))
        missing = acked - set(stored)
        assert not missing, f"acknowledged and lost: {sorted(missing)}"
        assert len(stored) == len(set(stored)), "stored twice"
        await life(gateway, node, acked, first)
    except StoreError:
        assert files.cut_at is not None
    finally:
        await gateway.stop()


def lives(folder: Path, cut: int | None, seed: int) -> int:
    """Three boots, the power cut in the first two after `cut` operations; the operations of the first."""
    folder.mkdir()
    files, node = LossyFiles(), FakeNode()
    acked: set[tuple[int, int, int]] = set()
    operations = 0
    for number, cut_at in enumerate((cut, cut, None)):
        files.cut_at = cut_at
        asyncio.run(boot(files, folder, node, acked, 1 + 100 * number))
        operations = operations or files.operations
        files = files.power_cycle(seed + number)
    return operations


def test_nothing_acknowledged_is_lost_and_nothing_is_stored_twice(tmp_path: Path) -> None:
    operations = lives(tmp_path / "whole", None, 0)
    for cut in range(0, operations + 1, 2):
        lives(tmp_path / f"{cut}", cut, cut)


def test_mutant_that_acknowledges_before_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append = Store.append

    def early(store: Store, record: object) -> Position:
        position = append(store, record)  # type: ignore[arg-type]
        asyncio.get_running_loop().call_soon(lambda: [call(position) for call in store.on_durable])
        return position

    monkeypatch.setattr(Store, "append", early)
    with pytest.raises(AssertionError, match="acknowledged and lost"):
        test_nothing_acknowledged_is_lost_and_nothing_is_stored_twice(tmp_path)


def test_mutant_that_forgets_to_replay_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "replay", lambda ingest, records: None)
    with pytest.raises(AssertionError):
        asyncio.run(test_what_was_stored_is_known_after_a_restart(tmp_path, None))


def test_a_stored_report_is_what_the_node_sent(tmp_path: Path) -> None:
    async def run() -> None:
        node = FakeNode()
        gateway = await started(LossyFiles(), tmp_path, node)
        gateway.hear(node.report(1, 5))
        await gateway.on_disk()
        (stored,) = await everything(gateway.store, LIVE)
        report = decode(stored.record.payload)
        assert isinstance(report, Report)
        assert [reading.value for reading in report.readings] == [1, 2, 3, 4, 5]
        await gateway.stop()

    asyncio.run(run())
