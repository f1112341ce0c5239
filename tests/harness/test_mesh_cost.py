"""What a node carries of the mesh has a budget of its own."""

from __future__ import annotations

from pathlib import Path

from fieldline_harness import mesh_cost


def test_the_nodes_part_of_the_mesh_fits_and_leaves_the_provisioner_out(tmp_path: Path) -> None:
    core, whole = mesh_cost.mpy_bytes(tmp_path)
    print(f"mesh: {core} bytes of .mpy, {whole} with all")
    assert 0 < core <= mesh_cost.BUDGET < whole
    names = {path.relative_to(tmp_path / "core").as_posix() for path in (tmp_path / "core").rglob("*.mpy")}
    assert not [name for name in names if "friend" in name or "low_power" in name]
    assert not [name for name in names if "provision" in name or "proxy" in name or "sensor" in name]


def test_friend_and_low_power_node_have_budgets_of_their_own(tmp_path: Path) -> None:
    friend, low_power = mesh_cost.friendship_mpy_bytes(tmp_path)
    print(f"mesh: {friend} bytes of .mpy for a Friend, {low_power} for a Low Power node")
    assert 0 < friend <= mesh_cost.FRIEND_BUDGET
    assert 0 < low_power <= mesh_cost.LOW_POWER_BUDGET
    names = {path.name for path in (tmp_path / "low_power").rglob("*.mpy")}
    assert "low_power.mpy" in names and "friend.mpy" not in names and "friend_queue.mpy" not in names
