"""`fieldline gateway store replay`: what was chosen and nothing else, paced, through kills, by a gateway or without.

Rules: mosquitto is the broker and paho the judge; the store is filled as a gateway fills it.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_gateway import cli
from fieldline_gateway.errors import UsageError
from fieldline_gateway.records import ALARM, BULK, CLASSES, KIND_GAP, KIND_LOG, LIVE, Record, StoredRecord
from fieldline_gateway.replay.job import Job, Jobs
from fieldline_gateway.replay.reader import ReplayReader
from fieldline_gateway.replay.selection import Selection
from fieldline_gateway.store.archive import Archive
from fieldline_gateway.store.log import GroupRules
from fieldline_gateway.store.store import StoreSettings
from fieldline_harness.gateway_process import FIELDLINE, GatewayProcess
from fieldline_harness.ledger import Key
from fieldline_harness.mosquitto import Mosquitto
from fieldline_harness.subscriber import Subscriber
from fieldline_wire.messages import Gap, Report
from tests.fakes.gateway_records import NODE, NOW_MS, new_store, report

OTHER = bytes.fromhex("a1a2a3a4a5a6a7a8")
COUNT = 400
MOST_S = 60.0
LIVE_KEY: Key = (NODE.hex(), 7, "live")


def gap(first: int, last: int) -> Record:
    payload = Gap(LIVE, 7, first, last, 1).to_bytes()
    return report(first, last - first + 1)._replace(kind=KIND_GAP, payload=payload)


def log_line() -> Record:
    return report(1)._replace(cls=BULK, kind=KIND_LOG, stream=0, first=0, last=0)


# --- what is chosen


@given(
    first=st.integers(1, 60), span=st.integers(0, 60), since=st.integers(-5, 60), length=st.integers(1, 60),
    size=st.integers(1, 48), offsets=st.lists(st.integers(0, 40), min_size=48, max_size=48),
)  # fmt: skip
def test_each_reading_is_chosen_by_its_own_number_and_time(
    first: int, span: int, since: int, length: int, size: int, offsets: list[int]
) -> None:
    whole = report(20, size)
    message = Report.from_bytes(whole.payload)
    for reading, offset in zip(message.readings, offsets, strict=False):
        reading.offset = offset
    stored = StoredRecord(9, whole._replace(payload=message.to_bytes()))
    since_ms, until_ms = NOW_MS + 10 * since, NOW_MS + 10 * (since + length)
    wanted = Selection(
        nodes=(NODE.hex(),), first=first, last=first + span, since_ms=since_ms, until_ms=until_ms
    )
    parts = list(wanted.parts(stored))
    found = []
    for part in parts:
        got = Report.from_bytes(part.record.payload)
        assert (part.record.first, part.record.last) == (got.first, got.first + len(got.readings) - 1)
        found += [(number, reading.offset) for number, reading in enumerate(got.readings, got.first)]
    assert found == [
        (number, offset)
        for number, offset in zip(range(20, 20 + size), offsets, strict=False)
        if first <= number <= first + span and since <= offset < since + length
    ]
    assert [part.seq for part in parts] == [0] * (len(parts) - 1) + [9] * bool(parts)


def test_gaps_are_cut_and_what_has_no_number_comes_when_asked_for() -> None:
    wanted = Selection(nodes=(NODE.hex(),), first=12, last=13)
    (cut,) = wanted.parts(StoredRecord(1, gap(10, 19)))
    assert Gap.from_bytes(cut.record.payload).first == cut.record.first == 12
    assert Gap.from_bytes(cut.record.payload).last == cut.record.last == 13
    assert not list(wanted.parts(StoredRecord(1, gap(14, 19))))
    assert not list(Selection().parts(StoredRecord(1, log_line())))
    assert list(Selection(others=True).parts(StoredRecord(1, log_line())))
    assert not list(Selection(classes=(ALARM,)).parts(StoredRecord(1, report(1))))
    assert not list(Selection(nodes=(OTHER.hex(),)).parts(StoredRecord(1, report(1))))
    assert Selection.from_json(json.loads(json.dumps(wanted.to_json()))) == wanted


@given(st.dictionaries(st.text(max_size=9), st.none() | st.integers() | st.lists(st.text())))
def test_no_selection_is_refused_and_raises_nothing_else(told: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Selection.from_json(told)


# --- the store of a site


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as it:
        yield it


@pytest.fixture
def judge(broker: Mosquitto) -> Iterator[Subscriber]:
    subscriber = Subscriber(broker.port)
    subscriber.connect()
    with subscriber as it:
        yield it


@pytest.fixture
def site(tmp_path: Path, broker: Mosquitto) -> GatewayProcess:
    """A gateway that was stopped: COUNT live readings of a node, 10 of another, 3 alarms, all but 5 delivered."""
    gateway = GatewayProcess(
        tmp_path / "site",
        '[gateway]\nname = "site"\n[serial]\nports = ["/dev/none"]\n'
        f'[[sink]]\nkind = "json"\nurl = "mqtt://127.0.0.1:{broker.port}"\n'
        f'[[sink]]\nkind = "json"\nname = "kept"\nretain = true\nurl = "mqtt://127.0.0.1:{broker.port}"\n'
        f'[[sink]]\nkind = "sparkplug"\nname = "plug"\nurl = "mqtt://127.0.0.1:{broker.port}"\n',
    )
    asyncio.run(fill(gateway.data))
    return gateway


async def fill(data: Path) -> None:
    from fieldline_gateway.store.files import DiskFiles

    files = DiskFiles(data / "store")
    files.make()
    settings = StoreSettings(segment_bytes=8192, group=GroupRules(interval_ms=0, records=100))
    store = new_store(files, data, settings)
    store._state._path = data / "store.db"
    await store.open()
    await store.keep_sinks(["json", "kept", "plug"])
    positions = [store.append(report(number)) for number in range(1, COUNT + 1)]
    positions += [store.append(report(number, node=OTHER)) for number in range(1, 11)]
    alarms = [store.append(report(number, cls=ALARM)) for number in (1, 2, 3)]
    late = [store.append(report(number, node=OTHER)) for number in range(11, 16)]
    for position in (late[-1], alarms[-1]):
        await store.wait_durable(position)
    reader = store.reader("json")
    given = 0
    while given < len(positions) + len(alarms):
        batch = await reader.next_batch(len(positions) + len(alarms) - given)
        given += len(batch)
        reader.commit(batch[-1].position)
    await store.close()


def replay(site: GatewayProcess, *words: str) -> int:
    return cli.main(["store", "replay", "-c", str(site.config), *words])


def files(site: GatewayProcess) -> list[Path]:
    """All but what SQLite makes to be read."""
    return sorted(path for path in site.folder.rglob("*") if path.suffix not in (".db-wal", ".db-shm"))


def until(count: int, judge: Subscriber) -> None:
    deadline = time.monotonic() + MOST_S
    while True:
        with judge.lock:
            readings = judge.ledger.count()[0]
        if readings >= count:
            return
        assert time.monotonic() < deadline, f"{readings} of {count} came"
        time.sleep(0.02)


def test_what_was_chosen_comes_again_and_nothing_else(
    site: GatewayProcess, judge: Subscriber, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(site, "--sink", "json", "--node", NODE.hex(), "--numbers", "50-149", "--yes") == 0
    assert "103 messages" not in (out := capsys.readouterr().out)
    assert "sink json: 100 messages (live 100) of 1 nodes" in out and "100 replayed" in out
    until(100, judge)
    (account,) = judge.ledger.accounts.values()
    assert list(account.readings) == list(range(50, 150)) and not account.repeats
    assert all(reading["historical"] and reading["backlog"] for reading in account.readings.values())
    assert Jobs(site.data).load() == []


def test_what_the_sink_did_not_get_yet_is_not_part_of_it(site: GatewayProcess, judge: Subscriber) -> None:
    assert replay(site, "--sink", "json", "--yes") == 0
    until(COUNT + 10 + 3, judge)
    assert {key: account.last for key, account in judge.ledger.accounts.items()} == {
        LIVE_KEY: COUNT, (OTHER.hex(), 7, "live"): 10, (NODE.hex(), 7, "alarm"): 3,
    }  # fmt: skip
    assert judge.ledger.faults({LIVE_KEY: COUNT}) == []


@pytest.mark.parametrize("words", [("--dry-run",), ()])  # without --yes nobody at a terminal agrees
def test_it_is_shown_first(
    site: GatewayProcess, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    before = files(site)
    assert replay(site, "--sink", "json", "--per-s", "10", "--class", "alarm", *words) == 0
    out = capsys.readouterr().out
    assert "sink json: 3 messages (alarm 3) of 1 nodes" in out and "pace: 10 a second: 0 s" in out
    assert "nothing was sent" in out and files(site) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say which sink with --sink; the configuration has: json, kept, plug"),
        (("--sink", "jso"), "there is no sink 'jso'"),
        (("--sink", "kept"), "publishes with retain"),
        (("--sink", "plug"), "is a Sparkplug edge node"),
        (("--sink", "json", "--per-s", "-1"), "--per-s must be 0"),
        (("--sink", "json", "--numbers", "1-9"), "numbers need --node"),
        (("--sink", "json", "--node", NODE.hex(), "--numbers", "9-1"), "must not be above the last"),
        (("--sink", "json", "--node", NODE.hex(), "--numbers", "x"), "write FIRST-LAST"),
        (("--sink", "json", "--since", "2026-11-22", "--until", "2026-11-21"), "--since must be before"),
        (("--sink", "json", "--until", "2001-01-01"), "nothing to replay"),
        (("--sink", "json", "--class", "bulk"), "has not delivered anything yet"),
        (("--resume",), "no replay was begun"),
        (("--cancel",), "no replay was begun"),
    ],
)
def test_nonsense_is_refused(
    site: GatewayProcess, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert replay(site, *words) == 2
    assert said in capsys.readouterr().err


def test_killed_in_the_middle_it_goes_on_where_it_was(
    site: GatewayProcess, judge: Subscriber, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*FIELDLINE, "gateway", "store", "replay", "-c", str(site.config), "--sink", "json", "--yes"]
    process = subprocess.Popen([*command, "--per-s", "100"], stdout=subprocess.DEVNULL)
    try:
        until(120, judge)
    finally:
        process.kill()
        process.wait()
    (job,) = Jobs(site.data).load()
    assert 0 < job.sent < COUNT
    assert replay(site, "--sink", "json", "--yes") == 2 and "--resume" in capsys.readouterr().err
    job.per_s = 0
    Jobs(site.data).save(job)
    assert replay(site, "--resume") == 0
    assert "413 replayed" in capsys.readouterr().out
    until(COUNT + 13, judge)
    assert judge.ledger.faults({LIVE_KEY: COUNT}) == [] and Jobs(site.data).load() == []


def test_one_that_was_begun_can_be_ended(site: GatewayProcess, capsys: pytest.CaptureFixture[str]) -> None:
    Jobs(site.data).save(Job("json", Selection(), 1, {LIVE: 9}, total=9))
    assert replay(site, "--cancel") == 0
    assert "0 of 9 had been sent" in capsys.readouterr().out and Jobs(site.data).load() == []


async def test_a_gateway_that_runs_does_it_and_goes_on_after_a_kill(
    site: GatewayProcess, judge: Subscriber
) -> None:
    both, _, _ = site.config.read_text().rpartition('[[sink]]\nkind = "json"\nname = "kept"')
    site.config.write_text(both)  # the others have not delivered anything yet
    await site.start()
    await site.until_runs(MOST_S)
    words = ("gateway", "store", "replay", "-c", str(site.config), "--sink", "json", "--node", NODE.hex())
    watching = await asyncio.create_subprocess_exec(
        *FIELDLINE,
        *words,
        "--per-s",
        "100",
        "--yes",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    await asyncio.to_thread(until, 5 + 100, judge)  # the five that it had not delivered, and some of these
    await site.kill()
    _, said = await asyncio.wait_for(watching.communicate(), MOST_S)
    assert b"no gateway runs" in said or b"did not answer" in said
    (job,) = Jobs(site.data).load()
    assert 0 < job.sent < COUNT
    await site.start()
    try:
        await site.until_runs(MOST_S)
        await asyncio.to_thread(until, COUNT + 3 + 5, judge)
        while Jobs(site.data).load():
            await asyncio.sleep(0.05)
    finally:
        await site.stop()
    assert judge.ledger.faults({LIVE_KEY: COUNT}) == []


# --- the reader


def reader_of(site: GatewayProcess, per_s: int, clock: Callable[[], float]) -> ReplayReader:
    job = Job("json", Selection(), per_s, dict.fromkeys(CLASSES, 1000))
    return ReplayReader(Archive(site.data), job, clock)


async def test_no_more_goes_out_than_there_are_tokens(site: GatewayProcess) -> None:
    now, given = [0.0], 0
    reader = reader_of(site, 40, lambda: now[0])
    for tick in range(1, 40):
        try:
            async with asyncio.timeout(0.02):
                while True:
                    given += len(await reader.next_batch(1000))
        except TimeoutError:
            pass
        assert given <= 10 + 40 * now[0], "the bucket holds a quarter of a second"
        now[0] = tick / 10
    assert given > 100


async def test_who_gives_up_waiting_loses_nothing(
    site: GatewayProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = reader_of(site, 0, time.monotonic)
    look = reader._look

    def slowly(records: Iterator[StoredRecord]) -> tuple[list[StoredRecord], bool]:
        time.sleep(0.1)
        return look(records)

    monkeypatch.setattr(reader, "_look", slowly)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await reader.next_batch(1)
    async with asyncio.timeout(20):
        assert (await reader.next_batch(1))[0].seq == 1


async def test_after_a_lost_connection_it_gives_again_what_was_not_acknowledged(site: GatewayProcess) -> None:
    reader = reader_of(site, 0, time.monotonic)
    first = await reader.next_batch(100)
    assert [stored.record.cls for stored in first] == [ALARM] * 3 and all(stored.late for stored in first)
    live = await reader.next_batch(100)
    reader.commit(live[49].position)
    reader.rewind()
    again = await reader.next_batch(100)
    assert again[0].seq == live[50].seq
    while not reader.finished.is_set():
        reader.commit(again[-1].position)
        if not reader.finished.is_set():
            again = await reader.next_batch(100)
    assert again[-1].seq == COUNT + 15


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"sink": 1}', '{"up_to": {"x": 1}, "done": {}}', "\0"])
def test_a_file_that_is_no_job_is_said(site: GatewayProcess, text: str) -> None:
    (site.data / "replay").mkdir()
    (site.data / "replay" / "json.json").write_text(text)
    with pytest.raises(UsageError, match="remove the file"):
        Jobs(site.data).load()
