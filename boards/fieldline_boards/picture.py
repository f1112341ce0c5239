"""A board's pins as a picture: SVG that a person can read on a screen, light or dark, and print.

Rules: the same board gives the same bytes; text stays text; colours and fonts stand in one style sheet; no scripts,
nothing fetched from elsewhere.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from xml.sax.saxutils import escape

from fieldline_boards.pinout import Row, Spec, inside, rows, sides

_ROW = 24  # pixels, as all lengths here
_TOP = 74
_BOARD = 210
_PAD = 12
_TAG = 18
_CHAR = 6.7  # width of a character at 11 px, generously
_GAP = 6
_LEAST_SIDE = 150
_MARGIN = 16

_STYLE = """
text{font:11px ui-sans-serif,"Helvetica Neue",Helvetica,Arial,sans-serif;fill:#1c2128}
.paper{fill:#ffffff}.title{font-size:17px;font-weight:bold}.sub,.no,.fn,.key{fill:#57606a}
.no{font-size:10px}.name{font-size:14px;font-weight:bold;fill:#ffffff}.chip{fill:#c9e7d8}.top{fill:#c9e7d8;font-size:10px}
.board{fill:#14532d;stroke:#0b3b1f;stroke-width:1.5}.hole{fill:#ffffff}.port{fill:#9aa4ae;stroke:#6b757f}
.pad{fill:#d9a441;stroke:#8a641b}.no-in{fill:#ffffff;font-size:10px}.wire{stroke:#8b949e;stroke-width:1}
.tag{stroke-width:1}.gpio{fill:#f6f8fa;stroke:#8b949e}.other{fill:#f6f8fa;stroke:#8b949e}
.ground{fill:#24292f;stroke:#24292f}.supply{fill:#b42318;stroke:#b42318}.on{fill:#ffffff}
.sensor{fill:#0a58ca;stroke:#0a58ca}.bus{fill:#6f42c1;stroke:#6f42c1}.output{fill:#1a7f37;stroke:#1a7f37}
.radio{fill:#9a4f00;stroke:#9a4f00}.board-use{fill:#5c656f;stroke:#5c656f}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.paper{fill:#0d1117}.sub,.no,.fn,.key{fill:#9da7b3}
.gpio,.other{fill:#21262d;stroke:#6e7681}.ground{fill:#484f58;stroke:#6e7681}.hole{fill:#0d1117}
.name,.on,.no-in{fill:#ffffff}.chip,.top{fill:#c9e7d8}}
@media print{text{fill:#000000}.paper{fill:#ffffff}.sub,.no,.fn,.key{fill:#333333}
.gpio,.other{fill:#ffffff;stroke:#333333}.name,.on,.no-in{fill:#ffffff}.chip,.top{fill:#c9e7d8}}
""".strip()
_KEYS = (
    ("sensor", "sensor"),
    ("bus", "bus"),
    ("output", "output"),
    ("radio", "radio"),
    ("board-use", "used by the board"),
    ("supply", "supply"),
    ("ground", "ground"),
)


def picture(spec: Spec) -> str:
    """The board's pins as an SVG file."""
    left, right = ([(header, rows(spec, header)) for header in headers] for headers in sides(spec))
    side = max(_LEAST_SIDE, *(_row_width(row) for part in (*left, *right) for row in part[1]), 0)
    width = 2 * (side + _MARGIN) + _BOARD
    tall = max([0, *(sum(len(pins) for _, pins in part) for part in (left, right))])
    edge = side + _MARGIN
    body = tall * _ROW + 2 * _ROW
    notes = list(_inside_lines(spec, width))
    height = _TOP + body + 52 + 16 * len(notes) + _MARGIN
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-labelledby="title">',
        f'<title id="title">{escape(spec.title)}: pins</title>',
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{width:g}" height="{height:g}"/>',
        _text(width / 2, 28, spec.title, "title", "middle"),
        _text(width / 2, 46, f"{spec.chip.title} · fieldline board show {spec.name}", "sub", "middle"),
        *_body(spec, edge, body),
    ]
    for parts, is_left in ((left, True), (right, False)):
        y: float = _TOP + _ROW
        for header, pins in parts:
            if header.block:
                x = edge + 24 if is_left else edge + _BOARD - 24
                out.append(_text(x, y - 6, header.block, "top", "middle"))
            for row in pins:
                out += _pin(row, edge if is_left else edge + _BOARD, y + _ROW / 2, is_left=is_left)
                y += _ROW
    y = _TOP + body + 30
    out += _legend(width, y)
    out += [_text(_MARGIN, y + 26 + 16 * place, line, "key", "start") for place, line in enumerate(notes)]
    return "\n".join([*out, "</svg>"]) + "\n"


def _body(spec: Spec, x: float, height: float) -> Iterator[str]:
    middle = x + _BOARD / 2
    yield f'<rect class="board" x="{x:g}" y="{_TOP}" width="{_BOARD}" height="{height:g}" rx="9"/>'
    if spec.pinout.top == "USB":
        yield f'<rect class="port" x="{middle - 24:g}" y="{_TOP - 8}" width="48" height="22" rx="3"/>'
        yield _text(middle, _TOP + 30, "USB", "top", "middle")
    else:
        yield _text(middle, _TOP - 7, spec.pinout.top, "sub", "middle")
    y = _TOP + height / 2 - 16
    for line in textwrap.wrap(spec.title, 15):
        yield _text(middle, y, line, "name", "middle")
        y += 18
    for line in (spec.chip.title, *spec.radio.names):
        yield _text(middle, y, line, "chip", "middle")
        y += 15


def _pin(row: Row, edge: float, y: float, *, is_left: bool) -> Iterator[str]:
    """A pin at the board's edge `edge`: pad and number on it, tags and functions beside it."""
    sign = -1 if is_left else 1
    pad = edge - sign * (_PAD / 2 + 4)
    yield (
        f'<rect class="pad" x="{pad - _PAD / 2:g}" y="{y - _PAD / 2:g}" width="{_PAD}" height="{_PAD}" rx="2"/>'
    )
    yield f'<circle class="hole" cx="{pad:g}" cy="{y:g}" r="2.5"/>'
    yield _text(pad - sign * (_PAD / 2 + 4), y + 3.5, str(row.number), "no-in", "start" if is_left else "end")
    x = edge + sign * 10
    yield f'<line class="wire" x1="{edge:g}" y1="{y:g}" x2="{x:g}" y2="{y:g}"/>'
    label_class = "on" if row.kind in ("ground", "supply") else ""
    tags = [(row.label, row.kind, label_class)]
    if row.use:
        kind = "board-use" if row.use.kind == "board" else row.use.kind
        tags.append((row.use.short, kind, "on"))
    for text, kind, ink in tags:
        wide = _tag_width(text)
        at = x - wide if is_left else x
        yield (
            f'<rect class="tag {kind}" x="{at:g}" y="{y - _TAG / 2:g}" width="{wide:g}" height="{_TAG}" rx="4"/>'
        )
        yield _text(at + wide / 2, y + 4, text, ink, "middle")
        x += sign * (wide + _GAP)
    if row.functions:
        yield _text(x, y + 4, ", ".join(row.functions), "fn", "end" if is_left else "start")


def _row_width(row: Row) -> float:
    width = 10 + _tag_width(row.label) + _GAP
    if row.use:
        width += _tag_width(row.use.short) + _GAP
    return round(width + len(", ".join(row.functions)) * _CHAR * 0.95)


def _tag_width(text: str) -> float:
    return round(max(46, len(text) * _CHAR + 12))


def _legend(width: float, y: float) -> Iterator[str]:
    total = sum(20 + len(text) * _CHAR + 14 for _, text in _KEYS)
    x = (width - total) / 2
    for kind, text in _KEYS:
        yield f'<rect class="tag {kind}" x="{x:g}" y="{y - 10:g}" width="14" height="12" rx="3"/>'
        yield _text(x + 20, y, text, "key", "start")
        x = round(x + 20 + len(text) * _CHAR + 14, 1)


def _inside_lines(spec: Spec, width: float) -> Iterator[str]:
    pins = [f"{name}: {use.text}" for name, use in inside(spec)]
    if pins:
        yield from textwrap.wrap(
            "Not at a header: " + "; ".join(pins) + ".", int((width - 2 * _MARGIN) / 5.9)
        )


def _text(x: float, y: float, text: str, kind: str, anchor: str) -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text{style} x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'
