"""A bench's curve becomes a picture; without matplotlib the bench goes on and says so."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest

from fieldline_harness.plots import plot_lines

CURVES = {"here": [(1.0, 2.0), (10.0, 3.0)], "there": [(1.0, 4.0), (10.0, 9.0)]}


@pytest.mark.parametrize("log", ["", "x", "xy"])
def test_a_png_with_what_was_measured(tmp_path: Path, log: str) -> None:
    path = tmp_path / "out" / "curve.png"
    assert plot_lines(path, "a title", "nodes", "ms", CURVES, log=log)
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", data[16:24]) == (960, 540)
    one = tmp_path / "one.png"
    assert plot_lines(one, "a title", "nodes", "ms", {"here": CURVES["here"]}, log=log)
    assert one.read_bytes() != data, "the second series is not in the picture"


def test_no_matplotlib_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    assert not plot_lines(tmp_path / "curve.png", "a title", "nodes", "ms", CURVES)
    assert "matplotlib is not installed" in capsys.readouterr().err and not list(tmp_path.iterdir())
