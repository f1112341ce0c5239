"""The bench of the node on real images: what it does without them, and how it reads what the board says."""

from __future__ import annotations

import os
import tty
from pathlib import Path

import pytest

from fieldline_boards.emulated import images
from fieldline_harness import bench_node, node_probe


def test_without_an_image_its_figures_are_left_out_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("FIELDLINE_PICO_UF2", "FIELDLINE_PICO_FROZEN_UF2"):
        monkeypatch.delenv(name, raising=False)
    assert bench_node._on_rp2040() == []
    said = capsys.readouterr().err
    assert "without node.rp2040_files_*" in said
    assert "without node.rp2040_frozen_*" in said and "FIELDLINE_PICO_FROZEN_UF2" in said
    assert not list(tmp_path.rglob("*.uf2")), "a bench fetches nothing"


def test_each_form_stands_against_its_own_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def probed(spec: object, image: Path, put: object) -> tuple[int, int]:
        return 601, 34000

    (tmp_path / "own.uf2").write_bytes(b"x")
    monkeypatch.setenv("FIELDLINE_PICO_UF2", str(tmp_path / "own.uf2"))
    monkeypatch.setenv("FIELDLINE_PICO_FROZEN_UF2", str(tmp_path / "own.uf2"))
    monkeypatch.setattr(bench_node, "probed", probed)
    figures = {figure.name: figure for figure in bench_node._on_rp2040()}
    assert figures["node.rp2040_files_heap_bytes"].against.startswith("budget 98304 ")
    assert figures["node.rp2040_frozen_heap_bytes"].against.startswith("budget 61440 ")
    assert figures["node.rp2040_frozen_hello_ms"].value == 601
    assert all("simulated" in figure.against for figure in figures.values())
    assert images.find_frozen("pico").name in figures["node.rp2040_frozen_heap_bytes"].against


def test_the_probe_is_heard_between_the_nodes_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_probe, "WITHIN_S", 20.0)
    ours, boards = os.openpty()
    tty.setraw(boards)
    os.write(ours, b"\x00\x03probe 1 end\x00\x03\x01probe 601 34000 end\r\n\x00")
    assert node_probe._told(os.ttyname(boards)) == (601, 34000)
    os.close(ours)
    os.close(boards)
