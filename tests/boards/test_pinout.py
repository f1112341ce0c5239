"""What a person sees of a board: pins in the terminal, pictures, the page."""

from __future__ import annotations

import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from fieldline_boards import cli
from fieldline_boards.boarddocs import board_pages, write_pages
from fieldline_boards.catalog import board_names, catalog_folder, host_names, load_any, read
from fieldline_boards.chips import CHIPS
from fieldline_boards.picture import picture
from fieldline_boards.pinout import terminal_lines

DOCS = Path(__file__).resolve().parents[2] / "docs"
NAMES = [*board_names(), *host_names()]
SVG = "{http://www.w3.org/2000/svg}"

Printed = pytest.CaptureFixture[str]


def texts(svg: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_docs_are_up_to_date() -> None:
    """Where it fails: fieldline board docs."""
    for name, text in board_pages().items():
        assert (DOCS / name).read_text(encoding="utf-8") == text, f"docs/{name} is old: fieldline board docs"
    pictures = {path.relative_to(DOCS).as_posix() for path in (DOCS / "boards").glob("*.svg")}
    assert pictures == set(board_pages()) - {"boards.md"}


def test_the_page_has_all_boards_and_says_what_is_simulated() -> None:
    page = board_pages()["boards.md"]
    for name in NAMES:
        assert f"\n## {name}\n" in page and f"(boards/{name}.svg)" in page
    assert "emulated (simulated)" in page
    assert "| GPIO25 | sensor 'fan-1' | sensor |" in page
    assert "| `0x3C0000` | `0x3FFFFF` | 256 KiB | outbox: readings that wait for a gateway |" in page


def test_the_page_names_every_key_of_a_boards_file() -> None:
    page = board_pages()["boards.md"].split("## A board's file")[1]
    inside = ("pins", "header", "flash", "radio", "budget")
    keys: set[str] = set()
    for path in catalog_folder().rglob("*.toml"):
        values = tomllib.loads(path.read_text())
        keys |= set(values) - {
            "circuitpython",
            "bus",
            "sensor",
            "onboard",
            *inside,
        }  # circuitpython.md has its own
        for name in inside:
            tables = values.get(name, {})
            for table in tables if isinstance(tables, list) else [tables]:
                keys |= {key for key, value in table.items() if not isinstance(value, dict)}
    assert {"title", "storage", "app", "step", "heap_bytes"} <= keys
    assert [key for key in sorted(keys) if f"`{key}`" not in page] == []


def test_pages_are_written_once_and_old_pictures_go(tmp_path: Path) -> None:
    (tmp_path / "boards").mkdir()
    old = tmp_path / "boards" / "gone.svg"
    old.write_text("<svg/>")
    assert old in write_pages(tmp_path)
    assert not old.exists() and (tmp_path / "boards" / "pico.svg").exists()
    assert write_pages(tmp_path) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_has_every_pin_as_text(name: str) -> None:
    spec = load_any(name)
    shown = texts(picture(spec))
    for header in spec.pinout.headers:
        for pin in header.pins:
            assert str(pin.number) in shown
            assert any(pin.label in text for text in shown), pin
    for use in spec.pinout.uses.values():
        assert any(use.short in text or use.text in text for text in shown), use
    assert spec.title in shown


@pytest.mark.parametrize("name", NAMES)
def test_nothing_leaves_the_picture_or_lies_on_a_neighbour(name: str) -> None:
    root = ElementTree.fromstring(picture(load_any(name)))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    tags: list[tuple[float, float, float]] = []
    for node in root.iter(f"{SVG}rect"):
        x, y = float(node.attrib.get("x", 0)), float(node.attrib.get("y", 0))
        assert x >= 0 and x + float(node.attrib["width"]) <= width
        assert y >= 0 and y + float(node.attrib["height"]) <= height
        if node.attrib["class"].startswith("tag "):
            tags.append((y, x, x + float(node.attrib["width"])))
    tags.sort()
    assert all(one[0] != two[0] or one[2] < two[1] for one, two in zip(tags, tags[1:], strict=False))
    for node in root.iter(f"{SVG}text"):
        wide = 5.5 * len(node.text or "")  # at 11 px, narrowly
        anchor, x = node.attrib["text-anchor"], float(node.attrib["x"])
        left = {"start": x, "middle": x - wide / 2, "end": x - wide}[anchor]
        assert left >= 0 and left + wide <= width, node.text


def test_a_picture_is_text_and_style_and_nothing_from_elsewhere() -> None:
    svg = picture(load_any("pico_w"))
    assert "prefers-color-scheme:dark" in svg and "@media print" in svg
    assert "<script" not in svg and "href" not in svg and "url(" not in svg
    assert svg == picture(load_any("pico_w"))


def test_a_title_is_text_in_a_picture_whatever_it_is(tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    text = (catalog_folder() / "pico.toml").read_text()
    path.write_text(text.replace('title = "Raspberry Pi Pico"', 'title = "<b>&amp; Sons"'))
    assert "<b>&amp; Sons" in texts(picture(read(path)))


def test_the_terminal_shows_pins_as_on_the_board() -> None:
    lines = [line.plain for line in terminal_lines(load_any("pico_w"))]
    assert len(lines) == 22
    assert "USB" in lines[0]
    assert lines[4].split("│")[0].split() == ["I2C1", "SDA,", "SPI0", "SCK", "fan-1", "GP2", "4"]
    assert lines[4].split("│")[2].split() == ["37", "3V3_EN"]
    assert lines[20].endswith("GP16      output 0  I2C0 SDA, SPI0 RX, UART0 TX")


@pytest.mark.parametrize("name", NAMES)
def test_show_tells_all_of_a_board(name: str, capsys: Printed) -> None:
    assert cli.main(["show", name]) == 0
    said = capsys.readouterr().out
    spec = load_any(name)
    assert spec.title in said and all(note in said for note in spec.notes)
    if name in host_names():
        assert "fieldline pins run" in said and "Flash" not in said
    else:
        assert "outbox: readings that wait for a gateway" in said
        assert "Emulated (simulated): MicroPython VM" in said


def test_brackets_in_a_title_are_no_markup(tmp_path: Path, capsys: Printed) -> None:
    text = (catalog_folder() / "pico.toml").read_text()
    path = tmp_path / "odd.toml"
    path.write_text(
        text.replace('title = "Raspberry Pi Pico"', 'title = "Shed [red]"\nnotes = ["[bold]keep[/bold]"]')
    )
    assert cli.main(["show", str(path)]) == 0
    said = capsys.readouterr().out
    assert "Shed [red]: RP2040" in said and "Note: [bold]keep[/bold]" in said
    assert cli.main(["list", "--boards", str(tmp_path)]) == 0
    assert "Shed [red]" in capsys.readouterr().out


def test_functions_are_those_of_the_datasheets() -> None:
    """Samples of each table, looked up by hand: RP2040 datasheet 1.4.3; ESP32 datasheet, "IO MUX"; and so on."""
    rp2 = CHIPS["rp2040"]
    assert rp2.other_functions(4) == ("I2C0 SDA", "SPI0 RX", "UART1 TX")
    assert rp2.other_functions(15) == ("I2C1 SCL", "SPI1 TX")
    assert rp2.other_functions(28) == ("ADC2", "I2C0 SDA", "SPI1 RX", "UART0 TX")
    assert CHIPS["rp2350"].functions == rp2.functions
    assert CHIPS["esp32"].other_functions(34) == ("ADC1_CH6", "input only")
    assert CHIPS["esp32"].other_functions(12) == ("ADC2_CH5", "HSPI MISO", "strapping")
    assert CHIPS["esp32s3"].other_functions(3) == ("ADC1_CH2", "strapping")
    assert CHIPS["esp32s3"].other_functions(19) == ("ADC2_CH8", "USB")
    assert CHIPS["esp32c3"].other_functions(9) == ("strapping",)
    assert CHIPS["esp32c6"].other_functions(4) == ("ADC1_CH4", "JTAG TMS", "strapping")
    assert CHIPS["bcm"].other_functions(2) == ("I2C1 SDA",)
