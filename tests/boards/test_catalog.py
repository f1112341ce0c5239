"""Board files: what is right is read, what is wrong names the line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_boards.catalog import (
    board_names,
    catalog_folder,
    host_names,
    load_any,
    load_board,
    read,
)
from fieldline_boards.emulated.images import IMAGES
from fieldline_boards.errors import BoardError
from fieldline_boards.spec import HostSpec
from fieldline_host.tomlfile import ConfigError

NODES = [
    "esp32_devkitc",
    "esp32c3_devkitm",
    "esp32c6_devkitc",
    "esp32s3_devkitc",
    "heltec_v3",
    "pico",
    "pico2",
    "pico2_w",
    "pico_w",
    "ttgo_lora32",
]


def text_of(name: str) -> str:
    return (catalog_folder() / f"{name}.toml").read_text()


def changed(tmp_path: Path, name: str, before: str, after: str) -> Path:
    """A board of the catalog with its first line that starts with `before` replaced."""
    lines = text_of(name).splitlines()
    lines[next(i for i, line in enumerate(lines) if line.startswith(before))] = after
    path = tmp_path / f"{name}.toml"
    path.write_text("\n".join(lines))
    return path


def refused(path: Path, message: str) -> str:
    """The line that the error names."""
    with pytest.raises(ConfigError) as raised:
        read(path)
    assert message in str(raised.value)
    assert raised.value.line is not None
    assert f"{path.name}:{raised.value.line}: " in str(raised.value)
    return path.read_text().splitlines()[raised.value.line - 1]


def test_the_catalog_has_the_boards_it_promises() -> None:
    assert board_names() == NODES
    assert host_names() == ["raspberry_pi"]


@pytest.mark.parametrize("name", NODES)
def test_a_node_has_four_fans_and_room_for_an_outbox(name: str) -> None:
    spec = load_board(name)
    assert spec.name == name
    assert [sensor.kind for sensor in spec.sensors] == ["tachometer"] * 4 + ["chip_temperature"]
    assert spec.reflex is not None
    sectors = 40 if name == "pico_w" else 64  # whose 848 KiB hold two slots and a bridge as well
    assert spec.state.length == 4 * 4096 and spec.outbox.length == sectors * 4096
    assert spec.flash.areas[-1].end == spec.flash.size, "the regions are the flash's end"
    assert all(one.end <= two.start for one, two in zip(spec.flash.areas, spec.flash.areas[1:], strict=False))
    assert spec.budget.mpy_bytes == 64 * 1024


@pytest.mark.parametrize("name", [*NODES, "raspberry_pi"])
def test_a_boards_headers_are_whole(name: str) -> None:
    """What the vendors print: how many pins, and supplies among them."""
    spec = load_any(name)
    counts = {
        "esp32": (19, 19), "esp32s3": (22, 22), "esp32c3": (15, 15), "esp32c6": (16, 16), "bcm": (20, 20),
        "rp2040": (20, 20), "rp2350": (20, 20),
    }  # fmt: skip
    special = {"ttgo_lora32": (13, 13), "heltec_v3": (18, 18)}
    left, right = spec.pinout.headers
    assert (len(left.pins), len(right.pins)) == special.get(name, counts[spec.chip.name])
    for header in (left, right):
        numbers = [pin.number for pin in header.pins]
        assert len(set(numbers)) == len(numbers)
    labels = [pin.label for header in (left, right) for pin in header.pins]
    assert "GND" in labels


@pytest.mark.parametrize("name", sorted(IMAGES))
def test_the_storage_area_is_that_of_the_published_image(name: str) -> None:
    assert load_board(name).flash.areas[0].end == IMAGES[name].storage


def test_picos_share_their_pins() -> None:
    """Raspberry Pi keeps the header of all Picos the same."""
    headers = {load_board(name).pinout.headers for name in ("pico", "pico_w", "pico2", "pico2_w")}
    assert len(headers) == 1
    left, right = next(iter(headers))
    where = {pin.gpio: pin.number for header in (left, right) for pin in header.pins}
    assert (where[0], where[15], where[16], where[28]) == (1, 20, 21, 34)


def test_radios_are_known_with_their_wires() -> None:
    new, old = load_board("heltec_v3").radio.lora, load_board("ttgo_lora32").radio.lora
    assert new is not None and old is not None
    assert (new.chip, old.chip) == ("sx1262", "sx1276")
    assert (new.lines["busy"], new.lines["dio1"], new.tcxo_mv, new.dio2_switches) == (13, 14, 1800, True)
    assert (old.lines["dio0"], old.lines["reset"], old.tcxo_mv) == (26, 23, None)
    assert load_board("pico_w").radio.names == ("Wi-Fi", "Bluetooth LE")
    assert load_board("pico").radio.names == ()


def test_a_tachometers_settings_have_their_wire_keys() -> None:
    assert load_board("pico_w").sensor("fan-1").settings == {10: 2, 11: 10_000, 12: 2_000}


@pytest.mark.parametrize(
    ("before", "after", "at", "message"),
    [
        ("chip =", 'chip = "avr"', "chip", "must be one of rp2040, rp2350, esp32"),
        ("chip =", 'chip = "bcm"', "chip", "must be one of rp2040"),
        ("arch =", 'arch = "xtensawin"', "arch", "must be one of armv6m"),
        ("flashed =", 'flashed = "esptool"', "flashed", "must be one of uf2"),
        ("title =", "title = 3", "title", "must be a string"),
        ("flashed =", 'flashed = "uf2"\nspeed = 1', "speed", "'speed' is not known"),
        ("title =", 'titel = "Pico"\ntitle = "Pico"', "titel", "did you mean 'title'?"),
        ("led =", 'led = "31"', "led", "no pin 31: RP2040 has no such GPIO"),
        ("led =", 'led = "LED2"', "led", "no pin 'LED2'; give a GPIO's number: it has 0-22, 26-28, and LED"),
        ("reflex =", 'reflex = "29"', "reflex", "no pin 29 at a header; it has 0-22, 26-28, and LED"),
        ("reflex =", 'reflex = "LED"', "reflex", "pin LED is the LED already"),
        ("reflex =", 'reflex = "\u0663"', "reflex", "no pin '\u0663'"),
        ("outputs =", 'outputs = ["16", "15"]', "outputs", "pin 15 is reflex already"),
        ("side =", 'side = "top"', "side", "must be one of left, right"),
        ("first =", "first = 0", "first", "must be 1 to"),
        ("step =", "step = 0", "step", "must be -2, -1, 1 or 2"),
        ("pins =", 'pins = ["0", "0",', "pins", "pin 0 stands in the headers twice"),
        ("pins =", 'pins = ["77",', "pins", "no pin 77"),
        ('"23" =', '"33" = "x"', '"33"', "no pin 33"),
        ('"23" =', '"2" = "the regulator"', "pin", "pin 2 is the regulator already; choose another"),
        ("kinds =", 'kinds = ["zigbee"]', "kinds", "'zigbee' is not known"),
        ("name =", 'name = "fan-2"', 'name = "fan-2"', "two sensors called 'fan-2'"),
        ("kind =", 'kind = "barometer"', "kind", "must be one of tachometer, chip_temperature"),
        ("pin =", 'pin = "15"', "reflex", "pin 15 is sensor 'fan-1' already"),
        ("pin =", 'pin = "3"', 'pin = "3"', "pin 3 is sensor 'fan-1' already"),
        ("pin =", 'pin = "24"', 'pin = "24"', "no pin 24"),
        ("pin =", 'pin = "LED"', 'pin = "LED"', "pin LED is no GPIO of the chip, and no input"),
        ("pin =", "# no pin", "[[sensor]]", "'pin' is missing in [sensor"),
        ("pulses_per_turn =", "pulses_per_turn = 0", "pulses_per_turn", "must be 1 to 255"),
        ("reject_us =", "reject_ms = 10", "reject_ms", "did you mean 'reject_us'?"),
        ("mesh =", 'mesh = "hub"', "mesh", "must be one of node, bridge"),
        ("kinds =", 'kinds = ["wifi"]', "mesh", "a mesh is for a radio of the kind ble"),
        ("size =", "size = 1", "size", "must be 65536 to"),
        ("storage =", "storage = 0x300000", "storage", "does not fit the flash's 0x200000"),
        ("files =", "files = 0x90800", "files", "must be a multiple of 4096"),
        ("files =", "files = 0x100000", "files", "the file system ends at 0x100000, behind 0xD4000"),
        ("files =", "files = 0x91000", "start = 0x64000", "the regions 'files' and 'update' overlap"),
        ("start =", "start = 0x90001", "start = 0x90001", "multiple of the sector"),
        ("length =", "length = 4096", "length = 4096", "must be 16384 to"),
        ("length = 0x20000", "length = 0x1F000", "length = 0x20000", "both slots have the same length"),
        ("start = 0xAC000", "start = 0xAA000", "start = 0xAA000", "the regions 'state' and 'outbox' overlap"),
        ("length = 0x28000", "length = 0x29000", "length = 0x29000", "'outbox' ends at 0xD5000, behind 0xD4000"),
        ("heap_bytes =", "heap_bytes = 0", "heap_bytes", "must be 1 to"),
        ('"fieldline_board.mpy"', '"x.mpy" = "small"', '"x.mpy"', "must be a whole number"),
        ("reflex =", "reflex = [", "outputs", "not valid TOML"),
    ],
)  # fmt: skip
def test_what_is_wrong_names_the_line(tmp_path: Path, before: str, after: str, at: str, message: str) -> None:
    assert refused(changed(tmp_path, "pico_w", before, after), message).startswith(at)


@pytest.mark.parametrize(
    ("before", "after", "at", "message"),
    [
        ("reflex =", 'reflex = "34"', "reflex", "pin 34 is an input only"),
        ("reflex =", 'reflex = "6"', "reflex", "pin 6 is wired to the flash or PSRAM"),
        ("reflex =", 'reflex = "1"', "reflex", "pin 1 is the console already"),
        ("reflex =", 'reflex = "15"', "reflex", "pin 15 is a strapping pin: its level at reset decides"),
        ("pin =", 'pin = "12"', "pin", "choose another for sensor 'fan-1'"),
        ("pin =", 'pin = "20"', "pin", "no pin 20: ESP32 has no such GPIO"),
        ("app =", "app = 0x1F1000", "app", "must be a multiple of 65536"),
        ("app =", "app = 0x400000", "app", "behind the flash's 0x400000"),
        ("app =", "app = 0x200000", "start = 0x368000", "the regions 'files' and 'update' overlap"),
        ("app =", "app = 0x1F0000\nota = 0x1F0000", "app", "'ota' for two, not both"),
        ("app =", "ota = 0x1F8000", "ota", "must be a multiple of 65536"),
        ("app =", "ota = 0x200000", "ota", "behind the flash's 0x400000"),
        ("label =", 'label = "ota_1"', "label", "two partitions called 'ota_1'"),
        ("app =", "app = 0x1F0000\nstorage = 0x1000", "storage", "'storage' is not known in [flash]"),
        ("start =", "start = 0x8000", "start", "the regions 'partition table' and 'update' overlap"),
        ("label =", 'label = "a_name_of_17_char"', "label", "1 to 16 letters"),
        ("label =", 'label = "state 1"', "label", "1 to 16 letters"),
        ("label =", 'label = "nvs"', "label", "two partitions called 'nvs'"),
        ("label =", 'label = "fl_outbox"', 'label = "fl_outbox"', "two partitions called 'fl_outbox'"),
        ("label =", "", "[flash.update]", "'label' is missing"),
        ("length = 0x40000", "length = 0x41000", "length = 0x41000", "'outbox' ends at 0x401000, behind 0x400000"),
    ],
)  # fmt: skip
def test_an_esp32s_own_rules(tmp_path: Path, before: str, after: str, at: str, message: str) -> None:
    assert refused(changed(tmp_path, "esp32_devkitc", before, after), message).startswith(at)


@pytest.mark.parametrize(
    ("before", "after", "at", "message"),
    [
        ("chip = \"sx", 'chip = "sx1272"', "chip", "must be one of sx1262, sx1276"),
        ("bands =", 'bands = ["2400"]', "bands", "'2400' is not known"),
        ("bands =", "", "[radio.lora]", "'bands' must list"),
        ("spi =", "spi = 3", "spi", "must be 1 to 2"),
        ("busy =", "", "[radio.lora]", "'busy' is missing"),
        ("busy =", 'busy = "12"', "busy", "pin 12 is the radio's reset already; choose another for the radio's busy"),
        ("busy =", 'busy = "27"', "busy", "pin 27 is wired to the flash or PSRAM"),
        ("reflex =", 'reflex = "19"', "reflex", "pin 19 is the chip's USB already"),
        ("busy =", 'busy = "4"', 'pin = "4"', "pin 4 is the radio's busy already; choose another for sensor 'fan-1'"),
        ("dio1 =", 'dio1 = "14"\ndio0 = "2"', "dio0", "did you mean 'dio1'?"),
        ("tcxo_mv =", "tcxo_mv = 5000", "tcxo_mv", "must be 1600 to 3300"),
        ("dio2_switches =", "dio2_switches = 1", "dio2_switches", "must be true or false"),
    ],
)  # fmt: skip
def test_a_radios_own_rules(tmp_path: Path, before: str, after: str, at: str, message: str) -> None:
    assert refused(changed(tmp_path, "heltec_v3", before, after), message).startswith(at)


RFM95 = """[radio.lora]
chip = "sx1276"
bands = ["868"]
spi = 1
sck = "10"
mosi = "11"
miso = "12"
cs = "13"
reset = "14"
dio0 = "20"
"""


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('sck = "10"', 'sck = "18"', "pin 18 cannot be sck of SPI 1; those that can are 10, 14, 26"),
        ('miso = "12"', 'miso = "10"', "pin 10 is the radio's sck already"),
        ("spi = 1", "spi = 2", "must be 0 to 1"),
    ],
)
def test_a_radio_beside_a_pico_is_where_its_spi_reaches(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    path = tmp_path / "pico_lora.toml"
    path.write_text(text_of("pico").replace("[[sensor]]", RFM95 + "\n[[sensor]]", 1))
    lora = read(path).radio.lora
    assert lora is not None and lora.lines["miso"] == 12
    path.write_text(path.read_text().replace(before, after))
    assert refused(path, message).startswith(after)


@pytest.mark.parametrize(
    ("name", "pin", "message"),
    [
        ("pico", "22", "pin 22 has no converter; those that have are 26-29"),
        ("esp32_devkitc", "4", "pin 4 has no converter that works beside Wi-Fi; those that have are 32-39"),
        ("esp32c3_devkitm", "3", None),
        ("esp32c6_devkitc", "23", "pin 23 has no converter; those that have are 0-6"),
        (
            "esp32s3_devkitc",
            "12",
            "pin 12 has no converter that works beside Wi-Fi; those that have are 1-10",
        ),
    ],
)
def test_a_voltage_is_at_a_converters_pin(tmp_path: Path, name: str, pin: str, message: str | None) -> None:
    path = tmp_path / "x.toml"
    more = f'[[sensor]]\nname = "supply"\nkind = "voltage"\npin = "{pin}"\n'
    path.write_text(text_of(name).replace("[flash]", more + "[flash]"))
    if message:
        assert refused(path, message).startswith("pin =")
    else:
        assert read(path).sensor("supply").place == (3, 3300, 0, 1)


def test_no_more_fans_than_pulse_counters(tmp_path: Path) -> None:
    more = '[[sensor]]\nname = "fan-5"\nkind = "tachometer"\npin = "1"\n'
    path = tmp_path / "x.toml"
    path.write_text(text_of("esp32s3_devkitc").replace("[flash]", more + "[flash]"))
    assert refused(path, "ESP32-S3 has 4 pulse counters").startswith("kind")
    path.write_text(text_of("esp32c3_devkitm").replace("[flash]", more.replace('"1"', '"3"') + "[flash]"))
    assert len(read(path).sensors) == 6, "where nothing counts, nothing runs out"


def test_a_board_without_pins_says_how_to_list_them(tmp_path: Path) -> None:
    text = text_of("pico")
    path = tmp_path / "x.toml"
    path.write_text(text[: text.index("[[header]]")] + text[text.index("# Not at a header") :])
    assert refused(path, "it has none: add a [[header]]").startswith("pin =")


def test_an_inline_table_has_a_line_too(tmp_path: Path) -> None:
    text = text_of("pico")
    path = tmp_path / "x.toml"
    path.write_text("flash = {size = 1}\n" + text[: text.index("[flash]")])
    assert refused(path, "'size' must be 65536") == "flash = {size = 1}"


def test_a_file_has_a_boards_name(tmp_path: Path) -> None:
    path = tmp_path / "my-board.toml"
    path.write_text(text_of("pico"))
    with pytest.raises(ConfigError, match="1 to 32 letters, digits and underscores"):
        read(path)


def test_an_unknown_board_says_which_there_are() -> None:
    with pytest.raises(
        ConfigError, match=r"the boards are esp32_devkitc, .*, pico_w, ttgo_lora32, raspberry_pi"
    ):
        load_board("arduino")


def test_boards_of_ones_own_are_found_by_folder_and_by_path(tmp_path: Path) -> None:
    path = tmp_path / "shed.toml"
    path.write_text(text_of("pico").replace("Raspberry Pi Pico", "Shed"))
    assert load_board(str(path)).title == load_board("shed", tmp_path).title == "Shed"
    assert "shed" in board_names(tmp_path) and "pico" in board_names(tmp_path)
    assert load_board("pico", tmp_path).title == "Raspberry Pi Pico"
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read"):
        load_board(str(tmp_path / "nowhere.toml"))


def test_a_computer_is_no_node() -> None:
    spec = load_any("raspberry_pi")
    assert isinstance(spec, HostSpec)
    assert {pin.gpio for header in spec.pinout.headers for pin in header.pins} - {None} == set(range(28))
    with pytest.raises(BoardError, match=r"runs Linux.*fieldline pins run --board raspberry_pi"):
        load_board("raspberry_pi")


@pytest.mark.parametrize("value", ["1" * 5000, "[" * 5000 + "]" * 5000, "2026-13-01", "\x00", "\ufeff"])
def test_what_even_tomls_reader_stumbles_over_is_said(value: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    path.write_text(f"title = {value}\n")
    with pytest.raises(ConfigError, match=r"odd\.toml(:1)?: not valid TOML"):
        read(path)


VALUES = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.integers(0, 70).map(lambda number: f'"{number}"'),
    st.text(max_size=6).map(repr),
    st.sampled_from(
        ['"LED"', "[]", "{}", "[[]]", "true", "1979-05-27", "nan", "[1]", '["1-2"]', "{pin = 1}"]
        + ["1" * 5000, "[" * 3000]
    ),
)  # fmt: skip


@st.composite
def spoiled(draw: st.DrawFn) -> str:
    """A board of the catalog with some lines gone, doubled, or with another value."""
    lines = text_of(draw(st.sampled_from(["pico_w", "heltec_v3", "ttgo_lora32"]))).splitlines()
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(lines) - 1))
        what = draw(st.sampled_from(["drop", "double", "value", "text"]))
        key, equals, _ = lines[place].partition(" = ")
        if what == "drop":
            del lines[place]
        elif what == "double":
            lines.insert(draw(st.integers(0, len(lines))), lines[place])
        elif what == "value" and equals:
            lines[place] = f"{key} = {draw(VALUES)}"
        else:
            lines[place] = draw(st.text(max_size=20))
    return "\n".join(lines)


@given(spoiled())
def test_whatever_stands_in_a_file_is_a_board_or_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "spoiled.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        read(path)
    except ConfigError as error:
        assert str(error).startswith(str(path))
