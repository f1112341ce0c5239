"""Messages that the format can say, for hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from fieldline_wire import messages

u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
i32 = st.integers(-0x80000000, 0x7FFFFFFF)
classes = st.integers(0, 2)
numbers = st.integers(1, 0xFFFFFFFF)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def tlvs(low: int) -> st.SearchStrategy[list[tuple[int, bytes]]]:
    """TLVs with tags from `low`, which no version knows yet."""
    return st.lists(st.tuples(st.integers(low, 0xFF), st.binary(max_size=40)), max_size=3)


hellos = st.builds(
    messages.Hello,
    stream=u32,
    reset_cause=u8,
    slot=u8,
    uptime=u32,
    heap_free=u32,
    config_version=u32,
    flags=u8,
    protocol=u8,
    board=st.none() | text,
    firmware=st.none() | text,
    classes=st.lists(st.tuples(classes, u32, u32), max_size=3),
    battery_mv=st.none() | u16,
    link=st.none() | st.tuples(u32, u32, u32, u32),
    sensors=st.lists(st.tuples(u8, u8), max_size=5),
    outbox=st.none() | st.tuples(u32, u32, u32),
    unknown=tlvs(8),
)

readings = st.builds(messages.Reading, u16, u8, u8, u8, i32)


def _fits_a_log(line: str) -> bool:
    return len(line.encode()) <= 200


@st.composite
def reports(draw: st.DrawFn) -> messages.Report:
    entries = draw(st.lists(readings, min_size=1, max_size=48))
    first = draw(st.integers(1, 0xFFFFFFFF - len(entries) + 1))
    return messages.Report(
        draw(classes),
        draw(u32),
        first,
        draw(u32),
        draw(u32),
        entries,
        draw(st.booleans()),
        draw(st.booleans()),
        draw(tlvs(0)),
    )


@st.composite
def gaps(draw: st.DrawFn) -> messages.Gap:
    first, last = sorted((draw(numbers), draw(numbers)))
    return messages.Gap(draw(classes), draw(u32), first, last, draw(u8), draw(tlvs(0)))


@st.composite
def acks(draw: st.DrawFn) -> messages.Ack:
    """Ranges from steps: each starts at least two above what came before."""
    at = draw(st.integers(0, 0xFFFFFFFF))
    next_number, ranges = at, []
    below = at
    for skip, length in draw(st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 1000)), max_size=16)):
        first = below + skip
        last = first + length
        if last > 0xFFFFFFFF:
            break
        ranges.append((first, last))
        below = last + 1
    return messages.Ack(draw(classes), draw(u32), next_number, draw(u8), draw(u16), ranges, draw(tlvs(0)))


configs = st.builds(
    messages.Config,
    version=u32,
    settings=st.lists(st.tuples(u8, u8, i32), max_size=255),
    reported=st.booleans(),
    refused=st.none() | st.tuples(u8, u8, u8),
    unknown=tlvs(2),
)
commands = st.builds(messages.Command, id=u32, code=u8, argument=st.binary(max_size=128), ttl=u16)
results = st.builds(messages.Result, id=u32, status=u8, payload=st.binary(max_size=128))
logs = st.builds(messages.Log, level=u8, text=text.filter(_fits_a_log), lost=u16, uptime=u32)
time_questions = st.builds(messages.TimeSync, uptime_ms=u32, unknown=tlvs(0))
time_answers = st.builds(
    messages.TimeSync,
    uptime_ms=u32,
    answer=st.just(True),
    seconds=u32,
    ms=st.integers(0, 999),
    unknown=tlvs(0),
)

values: st.SearchStrategy[Any] = st.one_of(
    hellos, reports(), gaps(), acks(), configs, commands, results, logs, time_questions, time_answers
)


@st.composite
def mutated(draw: st.DrawFn, data: st.SearchStrategy[bytes]) -> bytes:
    """Bytes with a few of them changed, cut out or put in."""
    raw = bytearray(draw(data))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw)))
        what = draw(st.sampled_from(("change", "cut", "insert", "truncate")))
        if what == "change" and at < len(raw):
            raw[at] = draw(u8)
        elif what == "cut":
            del raw[at : at + draw(st.integers(1, 9))]
        elif what == "insert":
            raw[at:at] = draw(st.binary(min_size=1, max_size=9))
        else:
            del raw[at:]
    return bytes(raw)
