"""Native images with the power cut at every flash operation: journal, head, partition and otadata, the loader's own
writes among them, in five ways (docs/update.md 8.10). The loader is a model of ESP-IDF's (SIMULATED)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from update_cases import cutting
from update_cases.native import NativeSite, NativeUpdate
from update_cases.site import Material

from tests.ota.attacks import native_text
from tests.ota.remembered import remembered
from tests.ota.test_power_cuts import said


@pytest.fixture(scope="module")
def material() -> Iterator[Material]:
    with remembered():
        yield Material(native_text())


@pytest.mark.parametrize("good", [True, False], ids=["good", "crashing"])
@pytest.mark.parametrize("target", ["full", "delta", "deflated"])
def test_no_cut_bricks_or_starts_what_was_not_verified(material: Material, target: str, good: bool) -> None:
    fill = {"full": 0, "delta": 8, "deflated": 13}[target]
    cutter = cutting.cut(material, target, good, fill, update_class=NativeUpdate)
    said(cutter, f"native {target}, journal + {fill}")
    assert cutter.cases > 290
