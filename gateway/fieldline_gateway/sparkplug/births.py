"""What the edge node's messages hold: NBIRTH, NDEATH, DBIRTH, NDATA, DDATA, DDEATH (specification 3.0,
sections 6.4.19 to 6.4.26).

Rules: bytes out, no state. Values that are not historical stand in the order of their time in every payload,
and none says two values of one metric at one time (section 5.15): where it would, a new payload begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fieldline_gateway.sparkplug.datatypes import DataType
from fieldline_gateway.sparkplug.devices import Slot
from fieldline_gateway.sparkplug.payload import Metric, Payload, join

BD_SEQ = "bdSeq"
REBIRTH = "Node Control/Rebirth"
SOFTWARE = "Properties/Software"
MARK = "Delivery/Mark"

PAYLOAD_OVERHEAD = 32
"""Bytes of timestamp and seq with their tags, rounded up."""
METRIC_OVERHEAD = 6
"""Bytes of tag and length before a metric, rounded up."""


def ndeath(now_ms: int, bd_seq: int) -> bytes:
    """One metric, bdSeq, and no seq (section 6.4.25)."""
    metric = Metric(name=BD_SEQ, timestamp=now_ms, datatype=DataType.INT64, value=bd_seq)
    return Payload(now_ms, (metric,)).to_bytes()


def birth(now_ms: int, seq: int, slots: Iterable[Slot]) -> bytes:
    """All metrics with name, alias, type and current value, ordered by time."""
    metrics = sorted((slot.birth(now_ms) for slot in slots), key=_time)
    return Payload(now_ms, tuple(metrics), seq).to_bytes()


def _time(metric: Metric) -> int:
    return metric.timestamp or 0


def ddeath(now_ms: int, seq: int) -> bytes:
    """No metrics at all (section 6.4.26)."""
    return Payload(now_ms, (), seq).to_bytes()


def data(now_ms: int, seq: int, metrics: Iterable[bytes]) -> bytes:
    """NDATA or DDATA of metrics that `runs` put together."""
    return join(now_ms, seq, metrics)


def runs(metrics: Iterable[Metric], max_metrics: int, max_bytes: int) -> Iterator[list[bytes]]:
    """The metrics in their order, cut into what one payload may hold."""
    run: list[bytes] = []
    size, newest = PAYLOAD_OVERHEAD, 0
    seen: set[tuple[int | None, int]] = set()
    for metric in metrics:
        encoded = metric.to_bytes()
        needed, time = len(encoded) + METRIC_OVERHEAD, _time(metric)
        value_at = (metric.alias, time)
        back = not metric.is_historical and time < newest
        if run and (back or value_at in seen or len(run) == max_metrics or size + needed > max_bytes):
            yield run
            run, size, newest = [], PAYLOAD_OVERHEAD, 0
            seen.clear()
        run.append(encoded)
        size += needed
        seen.add(value_at)
        if not metric.is_historical:
            newest = time
    if run:
        yield run
