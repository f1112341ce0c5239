"""Twins over MQTT: the table of behaviours, each case by its id, with stock clients to a real gateway's process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fieldline_harness.twin_cases import CASES, Case
from fieldline_harness.twin_site import VERSIONS, Cases, twin_site

Table = tuple[Cases, dict[str, str]]
"""Who runs cases, and the node of each."""


@pytest.fixture(scope="module", params=VERSIONS)
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    with (
        twin_site(tmp_path_factory.mktemp("twins")) as (port, passwords, nodes),
        Cases(port, passwords, request.param) as cases,
    ):
        yield cases, nodes


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_twin_over_mqtt(case: Case, table: Table) -> None:
    cases, nodes = table
    cases.run(case, nodes[case.id])


def test_the_table_has_each_id_once() -> None:
    assert len({case.id for case in CASES}) == len(CASES) >= 60
