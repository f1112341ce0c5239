"""Curves of a bench as PNG files, for its --out folder.

Rules: a plot is a by-product: where matplotlib is not installed (a field gateway has none) the bench says so and goes
on. Nothing is opened on a screen. Labels carry the unit; the title says what is simulated, as the figure does.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

Points = Sequence[tuple[float, float]]
"""(x, y), in the order of x."""


def plot_lines(
    path: Path, title: str, x_label: str, y_label: str, series: Mapping[str, Points], *, log: str = ""
) -> bool:
    """Write one picture with a line for each series, by its name; False where that is not possible here.

    `log`: the axes with a logarithmic scale, of "x", "y", "xy". The folder is made. An OSError is the caller's.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        print(f"{path}: not drawn, matplotlib is not installed (scripts/setup test)", file=sys.stderr)
        return False
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, points in series.items():
        axes.plot([x for x, _ in points], [y for _, y in points], marker=".", markersize=4, label=name)
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    if "x" in log:
        axes.set_xscale("log")
    if "y" in log:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.grid(True, alpha=0.3)
    if len(series) > 1:
        axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    print(f"drawn: {path}", file=sys.stderr)
    return True
