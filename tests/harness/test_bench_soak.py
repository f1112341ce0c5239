"""The benches of scale and soak: their short forms run, and the soak of tails finds a start that loses."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from fieldline_gateway.store import segment
from fieldline_gateway.store.record import Recovered, recover
from fieldline_harness import bench_cli, bench_fleet, bench_soak


def test_options_reach_their_bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: dict[str, object] = {}
    monkeypatch.setattr(bench_fleet, "run", lambda quick, **options: given.update(options) or [])
    words = ("--nodes", "30", "--records", "2000", "--rate", "1/2", "--out", str(tmp_path))
    assert bench_cli.main(["fleet", "--quick", *words]) == 0
    assert given == {"nodes": 30, "records": 2000, "rate": "1/2", "out": tmp_path}


def test_the_curve_over_nodes_is_a_table(tmp_path: Path) -> None:
    points = [bench_fleet.Point(nodes, 1.0, 4.0, 2.5, 1.0, 2.0, 3.0, 50.0, 100.0) for nodes in (10, 30)]
    bench_fleet._write(tmp_path / "curve" / "fleet.csv", points)
    head, *rows = (tmp_path / "curve" / "fleet.csv").read_text().splitlines()
    assert head.startswith("nodes,reports_per_s,") and [row.split(",")[0] for row in rows] == ["10", "30"]


def test_no_record_is_lost_behind_a_torn_or_garbage_tail(tmp_path: Path) -> None:
    assert bench_soak._tails(tmp_path / "tails", 60, Random(1)) == 0


def test_a_start_that_cuts_too_much_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cuts_too_much(data: bytes, salt: int, first_seq: int) -> Recovered:
        found = recover(data, salt, first_seq)
        if data.rstrip(b"\0") == data[: found.end].rstrip(b"\0") or len(found.blocks) < 2:
            return found
        last = found.blocks[-1]
        return Recovered(last.start, last.first_seq, found.blocks[:-1], found.holes)

    monkeypatch.setattr(segment, "recover", cuts_too_much)
    assert bench_soak._tails(tmp_path / "tails", 60, Random(1)) > 0


@pytest.mark.parametrize("words", [("store", "--nodes", "5"), ("fleet", "--kills", "5")])
def test_an_option_of_another_bench_is_refused(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        bench_cli.main(list(words))
    assert f"is not for bench {words[0]}" in capsys.readouterr().err
