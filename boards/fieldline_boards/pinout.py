"""A board's pins for a person: what each is, what it is used for, in rows as on the board.

Rules: values only; the terminal, the picture and the page are made from the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rich.text import Text

from fieldline_boards.spec import BoardSpec, Header, HostSpec, Pin, Use

Spec = BoardSpec | HostSpec

STYLES = {"sensor": "bold cyan", "bus": "magenta", "output": "green", "radio": "yellow", "board": "dim"}
_SUPPLY = re.compile(r"[0-9](\.[0-9])?V[0-9]?|VBUS|VSYS|Ve|3V3_EN|ADC_VREF")
_GAP = "  "


@dataclass(frozen=True, slots=True)
class Row:
    """A pin of a header. `kind`: "ground", "supply", "other", or "gpio"."""

    number: int
    label: str
    kind: str
    functions: tuple[str, ...]
    use: Use | None


def rows(spec: Spec, header: Header) -> list[Row]:
    """The pins of `header`, from the top."""
    found = []
    for pin in header.pins:
        if pin.gpio is None:
            kind = "ground" if "GND" in pin.label else "supply" if _SUPPLY.fullmatch(pin.label) else "other"
            found.append(Row(pin.number, pin.label, kind, (), None))
        else:
            label = spec.chip.label(pin.gpio)
            label = label if pin.label == label else f"{label} {pin.label}"
            use = spec.pinout.uses.get(pin.gpio)
            found.append(Row(pin.number, label, "gpio", spec.chip.other_functions(pin.gpio), use))
    return found


def pin_name(spec: Spec, pin: Pin) -> str:
    """A pin as the vendor calls it."""
    return spec.chip.label(pin) if isinstance(pin, int) else pin


def inside(spec: Spec) -> list[tuple[str, Use]]:
    """Pins that are used and at no header: (name, use)."""
    out = {pin.gpio for header in spec.pinout.headers for pin in header.pins}
    uses = spec.pinout.uses
    ordered = sorted(
        (pin for pin in uses if pin not in out), key=lambda pin: (isinstance(pin, str), str(pin).zfill(3))
    )
    return [(pin_name(spec, pin), uses[pin]) for pin in ordered]


def sides(spec: Spec) -> tuple[list[Header], list[Header]]:
    """Headers at the left and at the right."""
    left = [header for header in spec.pinout.headers if header.side == "left"]
    return left, [header for header in spec.pinout.headers if header.side == "right"]


def terminal_lines(spec: Spec) -> Iterator[Text]:
    """The pinout as lines of a terminal."""
    left, right = ([row for header in headers for row in rows(spec, header)] for headers in sides(spec))
    widths = [
        max([0, *(len(column(row)) for row in both)])
        for both in (left, right)
        for column in (_functions, _use, _label)
    ]
    board = max(len(spec.pinout.top) + 2, 9)
    margin = widths[0] + widths[1] + widths[2] + 3 * len(_GAP)
    yield Text(" " * margin + "   ┌" + spec.pinout.top.center(board, "─") + "┐")
    for place in range(max(len(left), len(right))):
        line = Text()
        line.append_text(_left(left[place], widths[:3]) if place < len(left) else Text(" " * (margin + 3)))
        line.append("│" + " " * board + "│")
        if place < len(right):
            line.append_text(_right(right[place], widths[3:]))
        line.rstrip()
        yield line
    yield Text(" " * margin + "   └" + "─" * board + "┘")


def _left(row: Row, widths: list[int]) -> Text:
    style = STYLES[row.use.kind] if row.use else ""
    return Text.assemble(
        (_functions(row).rjust(widths[0]), "dim"), _GAP,
        (_use(row).rjust(widths[1]), style), _GAP,
        (_label(row).rjust(widths[2]), _label_style(row)), _GAP,
        f"{row.number:2} ",
    )  # fmt: skip


def _right(row: Row, widths: list[int]) -> Text:
    style = STYLES[row.use.kind] if row.use else ""
    return Text.assemble(
        f" {row.number:2}", _GAP,
        (_label(row).ljust(widths[2]), _label_style(row)), _GAP,
        (_use(row).ljust(widths[1]), style), _GAP,
        (_functions(row), "dim"),
    )  # fmt: skip


def _functions(row: Row) -> str:
    return ", ".join(row.functions)


def _use(row: Row) -> str:
    return row.use.short if row.use else ""


def _label(row: Row) -> str:
    return row.label


def _label_style(row: Row) -> str:
    return {"ground": "dim", "supply": "red"}.get(row.kind, "")
