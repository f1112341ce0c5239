"""The tests of the Board port, counted by kind."""

from __future__ import annotations

import importlib

import pytest

from fieldline_harness.contracts import KINDS, SUITES, count, kind_of, table

CONTRACT, PICO, ENGINES, ROM = SUITES


@pytest.mark.parametrize(
    ("module", "name", "kind"),
    [
        (CONTRACT, "test_x[pico_w]", "vm"),
        (CONTRACT, "test_x[real-half]", "real"),
        (CONTRACT, "test_x[half-real]", "real"),
        (PICO, "test_x", "rp2040-js"),
        (ENGINES, "test_x[py]", "rp2040-py"),
        (ENGINES, "test_x[js-half]", "rp2040-js"),
        (ROM, "test_x", "esp_rom"),
        ("tests.boards.test_build", "test_x", None),
    ],
)
def test_a_test_has_a_kind(module: str, name: str, kind: str | None) -> None:
    assert kind_of(module, name) == kind


@pytest.mark.parametrize("module", SUITES)
def test_the_suites_are_there(module: str) -> None:
    assert any(name.startswith("test_") for name in vars(importlib.import_module(module)))


def test_what_did_not_run_is_not_passed() -> None:
    found = count(
        [
            (CONTRACT, "test_a[pico_w]", "passed", ""),
            (CONTRACT, "test_b[pico_w]", "error", ""),
            (ENGINES, "test_a[js]", "passed", ""),
            (CONTRACT, "test_a[real]", "skipped", "Skipped: no real board: give --board-port"),
            ("tests.wire.test_seal", "test_a", "failed", ""),
        ]
    )
    assert [(kind, c.contract, c.own, c.failed, c.skipped) for kind, c in found.items() if c] == [
        ("vm", 1, 0, 1, 0),
        ("rp2040-js", 0, 1, 0, 0),
        ("real", 0, 0, 0, 1),
    ]
    lines = table(found)
    assert len(lines) == 1 + len(KINDS)
    assert lines[4] == "esp_rom (simulated)      not run"
    assert lines[5].endswith("no real board: give --board-port")
