"""What a node carries of the mesh has a budget of its own."""

from __future__ import annotations

from pathlib import Path

from fieldline_harness import mesh_cost


def test_the_nodes_part_of_the_mesh_fits_and_leaves_the_provisioner_out(tmp_path: Path) -> None:
    core, whole = mesh_cost.mpy_bytes(tmp_path)
    print(f"mesh: {core} bytes of .mpy, {whole} with all")
    assert 0 < core <= mesh_cost.BUDGET < whole
    names = {path.relative_to(tmp_path / "core").as_posix() for path in (tmp_path / "core").rglob("*.mpy")}
    assert not [name for name in names if "provision" in name or "proxy" in name or "sensor" in name]
