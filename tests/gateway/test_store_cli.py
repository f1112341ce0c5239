"""`fieldline gateway store`: beside a store that is open, after damage, and never changing a byte."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fieldline_gateway import cli
from fieldline_gateway.records import ALARM, LIVE, Record
from fieldline_gateway.store.archive import Archive
from fieldline_gateway.store.files import DiskFiles
from fieldline_gateway.store.log import GroupRules
from fieldline_gateway.store.state import StoreState
from fieldline_gateway.store.store import Store, StoreSettings
from tests.fakes.gateway_records import NODE, NOW_MS, report

OTHER = bytes.fromhex("a1a2a3a4a5a6a7a8")
Told = Callable[..., tuple[int, str]]


def open_store(data: Path) -> Store:
    files = DiskFiles(data / "store")
    files.make()
    salts = iter(range(0xABCD0000, 0xABCE0000))
    return Store(
        files,
        StoreState(data / "store.db"),
        StoreSettings(segment_bytes=2048, group=GroupRules(interval_ms=0, records=5)),
        utc_ms=lambda: NOW_MS,
        random32=lambda: next(salts),
    )


async def fill(store: Store, records: list[Record]) -> None:
    for record in records:
        await store.wait_durable(store.append(record))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A gateway's folder with its configuration, 60 live readings of two nodes and 3 alarms in its store."""
    (tmp_path / "gateway.toml").write_text('[serial]\nports = ["/dev/none"]\n')
    return tmp_path


@pytest.fixture
def told(site: Path, capsys: pytest.CaptureFixture[str]) -> Told:
    """Runs `fieldline gateway store ...` on the site: exit code and standard output."""

    def run(*words: str) -> tuple[int, str]:
        code = cli.main(["store", words[0], "-c", str(site / "gateway.toml"), *words[1:]])
        return code, capsys.readouterr().out

    return run


def readings() -> list[Record]:
    """Two nodes in turn, 60 live readings, then three alarms."""
    live = [report(n, node=node) for n in range(1, 31) for node in (NODE, OTHER)]
    return live + [report(n, cls=ALARM) for n in (1, 2, 3)]


async def stored(site: Path) -> Store:
    store = await reopened(site)
    await fill(store, readings())
    return store


async def reopened(site: Path) -> Store:
    store = open_store(site / "data")
    await store.open()
    return store


def every_byte(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "data" / "store").iterdir()}


async def test_ls_shows_each_segment_while_the_gateway_writes(site: Path, told: Told) -> None:
    store = await stored(site)
    reader = store.reader("mqtt")
    reader.commit((await reader.next_batch(1))[-1].position)
    await store.close()
    store = await reopened(site)
    before = every_byte(site)
    code, out = told("ls", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    live = [row for row in rows if row["class"] == "live"]
    assert code == 0 and every_byte(site) == before
    assert len(live) > 2 and live[0]["first_seq"] == 1 and live[-1]["last_seq"] == 60
    assert sum(row["count"] for row in live) == 60
    assert [row["state"] for row in live] == ["whole"] * (len(live) - 1) + ["newest"]
    assert {row["nodes"] for row in live} == {2}
    assert "sink mqtt has committed up to" in told("ls")[1]
    await store.close()


async def test_verify_of_a_sound_store(site: Path, told: Told) -> None:
    store = await stored(site)
    assert told("verify") == (0, "63 records checked, 0 lost\n")
    await store.close()
    assert told("verify") == (0, "63 records checked, 0 lost\n")


async def test_verify_names_what_damage_took(site: Path, told: Told) -> None:
    store = await stored(site)
    await store.close()
    place = Archive(site / "data").places(LIVE)[1]
    path = site / "data" / "store" / str(place.name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)
    code, out = told("verify")
    assert code == 1
    assert "cannot be read" in out and "1 lost" in out.splitlines()[-2]
    lost = [line for line in out.splitlines() if "lost: node" in line]
    assert len(lost) == 1 and (NODE.hex() in lost[0] or OTHER.hex() in lost[0])
    assert "DAMAGED: 1 records lost" in told("ls", "--json")[1]
    # An export says so too, whatever times were asked for.
    code, out = told("export", "--class", "live", "--since", "2000-01-01")
    lines = [json.loads(line) for line in out.splitlines()]
    assert len([line for line in lines if "number" in line]) == 59
    gaps = [line for line in lines if "gap" in line]
    assert len(gaps) == 1 and gaps[0]["gap"]["reason"] == "unreadable at the gateway"


async def test_verify_misses_a_segment_that_is_gone(site: Path, told: Told) -> None:
    store = await stored(site)
    await store.close()
    place = Archive(site / "data").places(LIVE)[1]
    (site / "data" / "store" / str(place.name)).unlink()
    code, out = told("verify", "--json")
    last = json.loads(out.splitlines()[-1])
    assert code == 1 and last["checked"] + last["lost"] == 63 and last["lost"] > 1


async def test_a_torn_tail_is_no_loss(site: Path, told: Told) -> None:
    store = await stored(site)
    await store.close()
    newest = site / "data" / "store" / str(Archive(site / "data").places(LIVE)[-1].name)
    newest.write_bytes(newest.read_bytes() + b"\xf1\xd1half of a record")
    assert told("verify") == (0, "63 records checked, 0 lost\n")
    assert "bytes not promised" in told("ls", "--json")[1]


async def test_export_takes_what_was_asked_for(site: Path, told: Told) -> None:
    store = await stored(site)
    numbers = [json.loads(line)["number"] for line in told("export", "--node", OTHER.hex())[1].splitlines()]
    assert numbers == list(range(1, 31))
    assert len(told("export")[1].splitlines()) == 63
    assert told("export", "--until", "2001-01-01")[1] == ""
    table = list(csv.DictReader(told("export", "--format", "csv", "--class", "alarm")[1].splitlines()))
    assert [(row["class"], row["number"], row["node"]) for row in table] == [
        ("alarm", str(n), NODE.hex()) for n in (1, 2, 3)
    ]
    await store.close()


async def test_export_overwrites_nothing(site: Path, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    store = await stored(site)
    await store.close()
    out = site / "out.jsonl"
    assert told("export", "--out", str(out))[0] == 0
    assert len(out.read_text().splitlines()) == 63
    before = out.read_bytes()
    assert cli.main(["store", "export", "-c", str(site / "gateway.toml"), "--out", str(out)]) == 2
    assert "exists; give --out a new file" in capsys.readouterr().err
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--node", "xyz"], "16 hexadecimal digits"),
        (["--since", "yesterday"], "is no time; write for example"),
        (["--all", "--format", "csv"], "--all needs --format jsonl"),
        (["--out", "/nowhere/at/all"], "give --out a file that can be written"),
    ],
)
async def test_wrong_words(
    site: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = await stored(site)
    await store.close()
    assert cli.main(["store", "export", "-c", str(site / "gateway.toml"), *words]) == 2
    assert said in capsys.readouterr().err


def test_where_no_gateway_ever_ran(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["store", "verify", "-c", str(site / "gateway.toml")]) == 2
    assert "no store there" in capsys.readouterr().err


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=4000), st.integers(0, 4000))
def test_whatever_a_segment_holds_nothing_is_raised(site: Path, noise: bytes, at: int) -> None:
    folder = site / "data" / "store"
    folder.mkdir(parents=True, exist_ok=True)
    for number, first in enumerate((1, 50)):
        name = f"live-{first:020d}-{number:08x}.seg2"
        (folder / name).write_bytes(bytes(at) + noise)
    archive = Archive(site / "data")
    for place in archive.places(LIVE):
        content = archive.content(place)
        assert content is not None
        assert [stored.seq for stored in content.records()] == sorted(
            {seq for block in content.blocks for seq in range(block.first_seq, block.next_seq)}
        )
        if place.next_seq is not None:
            missing = sum(hole.last - hole.first + 1 for hole in content.holes)
            assert content.count + missing == place.next_seq - place.name.first_seq
