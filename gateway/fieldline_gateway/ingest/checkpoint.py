"""The state of ingest to the registry and back, and rebuilt from the log behind it (wire.md 3.5, 5.10).

Rules: a checkpoint holds what is on disk and the log positions it belongs to; whatever came later stands in the log
and is replayed at the start, before anything is heard or answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Protocol

from fieldline_gateway.errors import StoreHeld
from fieldline_gateway.ingest.clock import Boots
from fieldline_gateway.ingest.node import ClassState, NodeState, Stream
from fieldline_gateway.ingest.rules import Ingest
from fieldline_gateway.ingest.settled import NumberSet
from fieldline_gateway.records import KIND_CONFIG, KIND_GAP, KIND_HELLO, KIND_REPORT, Record
from fieldline_gateway.registry import Checkpoint, Heard, Settled
from fieldline_wire.errors import PeerError
from fieldline_wire.messages import Config, Hello
from fieldline_wire.seal import ReplayWindow


class Saved(Protocol):
    """Where the last checkpoint is kept."""

    def ended(self) -> Iterable[tuple[bytes, int, int]]: ...

    def heard(self) -> Iterable[Heard]: ...

    def settled(self) -> Iterable[Settled]: ...


def load(ingest: Ingest, saved: Saved) -> None:
    """Take over the last checkpoint; state of nodes that are not enrolled is left alone."""
    for node, stream, _ in saved.ended():
        if node in ingest.states:
            ingest.states[node].end_stream(stream)
    for heard in saved.heard():
        state = ingest.states.get(heard.node)
        if state is None:
            continue
        state.window = ReplayWindow(heard.epoch, heard.counter)
        state.epoch = heard.epoch
        state.heard_ms = heard.heard_ms
        state.boots = Boots(heard.boots)
        state.config_version = heard.config
        if heard.stream is not None:
            state.begin_stream(heard.stream)
        if heard.hello is not None:
            state.keep_hello(heard.hello)
    for row in saved.settled():
        state = ingest.states.get(row.node)
        if state is not None:
            _load_settled(state, row)


def changes(ingest: Ingest, positions: Mapping[int, int], now_ms: int) -> Checkpoint:
    """What changed since this was called last, with the log positions on disk now; save it, or give it back."""
    states = [ingest.states[node] for node in ingest.changed]
    results = list(ingest.results)
    ingest.changed.clear()
    ingest.results.clear()
    over = [(state, stream) for state in states for stream in state.ended & state.streams.keys()]
    return Checkpoint(
        positions=dict(positions),
        heard=tuple(_heard(state, ingest.reported) for state in states if state.epoch >= 0),
        settled=tuple(row for state in states for row in _settled(state)),
        ended=tuple((state.node.id, stream, now_ms) for state, stream in over if _all_durable(state, stream)),
        results=tuple(results),
    )


def give_back(ingest: Ingest, checkpoint: Checkpoint) -> None:
    """The checkpoint could not be saved: it is part of the next one."""
    ingest.changed.update(heard.node for heard in checkpoint.heard)
    ingest.results[:0] = checkpoint.results


def saved(ingest: Ingest, checkpoint: Checkpoint) -> None:
    """The checkpoint is on disk: streams that are over are needed no more."""
    for node, stream, _ in checkpoint.ended:
        ingest.states[node].streams.pop(stream, None)


def replay(ingest: Ingest, records: Iterable[Record]) -> None:
    """Records of the log behind the checkpoint, in the order of their class."""
    for record in records:
        state = ingest.states.get(record.node)
        if state is None:
            continue
        ingest.changed.add(record.node)
        place = (record.epoch, record.counter)
        # (0, 0) stands in the gaps that a gateway made; what came under an earlier key says nothing of this one.
        if place > max((0, 0), state.window.state()) and record.received_ms >= state.node.added_ms:
            state.window = ReplayWindow(*place)
            state.epoch = record.epoch
        state.heard_ms = max(state.heard_ms, record.received_ms)
        if record.kind == KIND_HELLO:
            _replay_hello(state, record)
        elif record.kind == KIND_CONFIG:
            with suppress(PeerError):  # written by another version of this program; the node says it again
                ingest.reported[record.node] = config = Config.from_bytes(record.payload)
                state.config_version = config.version
        elif record.kind in (KIND_REPORT, KIND_GAP):
            if record.stream not in state.streams and record.stream not in state.ended:
                state.begin_stream(record.stream)
            if record.stream in state.streams:
                _settle(state.streams[record.stream][record.cls], record)


def finish_replay(ingest: Ingest, now_ms: int) -> None:
    """Store the gaps of streams that ended shortly before the gateway stopped. StoreHeld is put off."""
    for state in ingest.states.values():
        for stream in state.ended & state.streams.keys():
            try:
                ingest.numbered.end_stream(state, stream, now_ms)
            except StoreHeld:
                return


def _load_settled(state: NodeState, row: Settled) -> None:
    """A stream that is neither the current one nor over was ending when the gateway stopped."""
    if row.stream not in state.streams:
        if row.stream in state.ended:
            return
        state.streams[row.stream] = Stream()
        state.end_stream(row.stream)
    numbers = state.streams[row.stream][row.cls]
    numbers.seen = NumberSet(row.ranges)
    numbers.durable = NumberSet(row.ranges)
    numbers.oldest = row.oldest
    numbers.next = max(numbers.next, row.next)
    numbers.gaps = row.gaps


def _settled(state: NodeState) -> list[Settled]:
    """Of all streams that are not over, what is on disk, class by class; nothing of a class without numbers."""
    return [
        Settled(
            state.node.id, stream, cls, numbers.durable.ranges, numbers.oldest, numbers.next, numbers.gaps
        )
        for stream, classes in state.streams.items()
        for cls, numbers in classes.counted()
    ]


def _settle(numbers: ClassState, record: Record) -> None:
    for first, last in numbers.seen.missing(record.first, record.last):
        numbers.settle(first, last)
        if record.kind == KIND_GAP:
            numbers.gaps += last - first + 1


def _replay_hello(state: NodeState, record: Record) -> None:
    try:
        hello = Hello.from_bytes(record.payload)
    except PeerError:
        return  # written by another version of this program; the node says it again
    state.boots.hello(record.epoch, hello.uptime, record.received_ms)
    if hello.stream in state.ended:
        return
    if hello.stream != state.stream:
        state.begin_stream(hello.stream)
    state.note_hello(hello, record.payload)


def _heard(state: NodeState, reported: Mapping[bytes, Config]) -> Heard:
    """`reported`: settings that are not in their twins yet, so that nothing relies on them."""
    node = state.node.id
    epoch, counter = state.window.state()
    config = None if node in reported else state.config_version
    return Heard(node, epoch, counter, state.stream, state.heard_ms, state.boots.pairs(), state.hello, config)


def _all_durable(state: NodeState, stream: int) -> bool:
    """Whether the gaps that ended this stream are on disk, too."""
    return all(_same(numbers) for numbers in state.streams[stream].values())


def _same(numbers: ClassState) -> bool:
    return numbers.seen.ranges == numbers.durable.ranges and not numbers.lost()
