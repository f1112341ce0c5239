"""The chained log: what was changed, removed, reordered or cut off is found; a kill at any byte costs no line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline_host.chain import BROKEN, CUT, DROPPED, Entry, Head, files, parse, tail, verify
from fieldline_host.chainlog import ChainError, ChainLog

UTC = 1_790_000_000_123


def log(folder: Path, **options: int) -> ChainLog:
    return ChainLog(folder, lambda: UTC, **options)


def written(folder: Path, count: int = 10, **options: int) -> ChainLog:
    one = log(folder, **options)
    assert one.open() == []
    for number in range(count - 1):
        one.append([Entry("olga", "page", "node.revoke", data={"node": number})])
    return one


def lines(folder: Path) -> list[bytes]:
    return files(folder)[-1].read_bytes().splitlines(keepends=True)


def write(folder: Path, content: list[bytes]) -> None:
    files(folder)[-1].write_bytes(b"".join(content))


def test_what_was_written_verifies_and_is_told_in_order(tmp_path: Path) -> None:
    one = written(tmp_path)
    verdict = verify(tmp_path)
    assert (verdict.lines, verdict.faults, verdict.head) == (10, (), one.head)
    told = tail(tmp_path, 3)
    assert [line["seq"] for line in told] == [8, 9, 10]
    assert told[0]["time"] == "2026-09-21T14:13:20.123Z" and told[0]["who"] == "olga"
    assert [line["seq"] for line in tail(tmp_path, 3, before=5)] == [2, 3, 4]
    assert verify(tmp_path, [Head.parse(str(one.head)) or Head()]).faults == ()


def changed(content: list[bytes]) -> list[bytes]:
    return [*content[:4], content[4].replace(b"olga", b"anna"), *content[5:]]


def rehashed(content: list[bytes]) -> list[bytes]:
    """Changed by somebody who knows how the hash is made."""
    import hashlib

    body = content[4].replace(b"olga", b"anna")[:-76]
    return [
        *content[:4],
        body + b',"hash":"' + hashlib.sha256(body).hexdigest().encode() + b'"}\n',
        *content[5:],
    ]


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (changed, "was changed"),
        (rehashed, "does not follow the line before it"),
        (lambda content: [*content[:4], *content[5:]], "lines 5 to 5 before it are missing"),
        (lambda content: [*content[:4], content[5], content[4], *content[6:]], "out of order"),
        (lambda content: [*content[:5], content[4], *content[5:]], "out of order"),
        (lambda content: content[:8], "the log was cut off: line 10"),
        (lambda content: content[2:], "the lines up to 2 were removed"),
        (lambda content: [], "the log was cut off: line 10"),
    ],
    ids=["changed", "rehashed", "removed", "reordered", "repeated", "truncated", "beheaded", "emptied"],
)
def test_harm_is_found(tmp_path: Path, harm: Callable[[list[bytes]], list[bytes]], what: str) -> None:
    written(tmp_path).close()
    write(tmp_path, harm(lines(tmp_path)))
    assert any(what in fault.what for fault in verify(tmp_path).faults)


def test_a_log_that_was_written_anew_as_a_whole_is_found_by_an_anchor(tmp_path: Path) -> None:
    noted = written(tmp_path / "a").head
    forged = tmp_path / "b"
    one = written(forged, 4)
    one.append([Entry("mallory", "page", "harmless")] * 8)
    assert verify(forged).faults == ()
    (fault,) = verify(forged, [noted]).faults
    assert "is not the line that was written" in fault.what


def test_a_cut_is_told_at_the_next_start_and_stands_in_the_log_for_good(tmp_path: Path) -> None:
    written(tmp_path).close()
    write(tmp_path, lines(tmp_path)[:8])
    (found,) = log(tmp_path).open()
    assert "ends at 8 and went on to 10" in found
    assert tail(tmp_path, 1)[0]["what"] == BROKEN
    assert log(tmp_path).open() == []
    assert any("found broken" in fault.what for fault in verify(tmp_path).faults)


def test_the_head_removed_is_told(tmp_path: Path) -> None:
    written(tmp_path).close()
    (tmp_path / "head").unlink()
    assert "was removed" in verify(tmp_path).faults[0].what
    assert log(tmp_path).open() == ["the head is missing"]


def test_a_kill_at_any_byte_of_a_line_costs_only_that_line(tmp_path: Path) -> None:
    """What was answered is in the head; the torn line was not."""
    written(tmp_path, 5).close()
    whole = files(tmp_path)[0].read_bytes()
    head = (tmp_path / "head").read_text()
    one = log(tmp_path)
    one.open()
    one.append([Entry("olga", "page", "torn")])
    one.close()
    more = files(tmp_path)[0].read_bytes()[len(whole) :]
    for kept in range(len(more)):
        files(tmp_path)[0].write_bytes(whole + more[:kept])
        (tmp_path / "head").write_text(head)
        again = log(tmp_path)
        assert again.open() == []
        told = tail(tmp_path, 10)
        assert [line["seq"] for line in told] == list(range(1, 7 if kept else 6))
        if kept:
            assert told[-1]["what"] == CUT and told[-1]["data"]["bytes"] == kept
        again.append([Entry("olga", "page", "next")])
        again.close()
        assert verify(tmp_path).faults == ()


def test_a_kill_between_the_line_and_the_head_is_no_harm(tmp_path: Path) -> None:
    one = written(tmp_path, 5)
    head = (tmp_path / "head").read_text()
    one.append([Entry("olga", "page", "x")])
    one.close()
    (tmp_path / "head").write_text(head)
    assert verify(tmp_path).faults == ()
    assert log(tmp_path).open() == []


def test_rotation_keeps_the_chain_and_what_goes_is_written_down(tmp_path: Path) -> None:
    one = written(tmp_path, 60, max_file=1000, keep_files=5)
    names = [path.name for path in files(tmp_path)]
    assert 4 <= len(names) <= 6 and names[0] != "000000000001.jsonl"
    assert verify(tmp_path).faults == ()
    assert any(line["what"] == DROPPED for line in tail(tmp_path, 100))
    one.close()
    assert log(tmp_path, max_file=1000, keep_files=5).open() == []
    files(tmp_path)[0].unlink()
    assert any("were removed" in fault.what for fault in verify(tmp_path).faults)


def test_a_file_in_the_middle_removed_is_found(tmp_path: Path) -> None:
    written(tmp_path, 60, max_file=1000).close()
    files(tmp_path)[3].unlink()
    assert any("are missing" in fault.what for fault in verify(tmp_path).faults)


def test_long_data_is_replaced_by_its_digest(tmp_path: Path) -> None:
    one = written(tmp_path, 1)
    (line,) = one.append([Entry("olga", "cli", "command.send", data={"nodes": ["x" * 16] * 30_000})])
    assert set(line["data"]) == {"bytes", "sha256"}
    assert verify(tmp_path).faults == ()


def test_a_disk_that_refuses_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = written(tmp_path, 3)
    with monkeypatch.context() as patch:

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr("os.fdatasync", full)
        with pytest.raises(ChainError, match="No space left"):
            one.append([Entry("olga", "cli", "x")])
    one.append([Entry("olga", "cli", "y")])
    assert [line["what"] for line in tail(tmp_path, 9)] == ["log-started", "node.revoke", "node.revoke", "y"]
    assert verify(tmp_path).faults == ()


@given(st.binary(max_size=300))
def test_no_bytes_are_more_than_no_line(data: bytes) -> None:
    assert parse(data) is None
    assert parse(data + b',"hash":"' + b"0" * 64 + b'"}\n') is None


@settings(max_examples=25)  # each waits for the disk
@given(st.dictionaries(st.text(), st.recursive(st.none() | st.text() | st.integers(), st.lists)), st.text())
def test_whatever_is_said_stays_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, object], who: str
) -> None:
    folder = tmp_path_factory.mktemp("log")
    one = written(folder, 1)
    one.append([Entry(who, "page", "x", data=data)])
    one.close()
    assert verify(folder).faults == () and len(lines(folder)) == 2
    assert json.loads(lines(folder)[-1])["who"] == who
