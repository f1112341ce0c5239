from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fieldline_boards.emulated.esp_rom.rfc2217 import AutoReset, ControlLines, Telnet

IAC, SE, SB, WILL, WONT, DO, DONT = 255, 240, 250, 251, 252, 253, 254
BYTES = st.lists(
    st.one_of(st.sampled_from([IAC, SE, SB, WILL, DO, 44, 5, 8, 11]), st.integers(0, 255)), max_size=60
).map(bytes)


def set_control(value: int) -> bytes:
    return bytes((IAC, SB, 44, 5, value, IAC, SE))


@given(data=st.binary(max_size=200), split=st.integers(0, 400))
def test_serial_data_go_through(data: bytes, split: int) -> None:
    telnet = Telnet()
    escaped = Telnet.escape(data)
    events = telnet.feed(escaped[:split]).events + telnet.feed(escaped[split:]).events
    assert b"".join(event for event in events if isinstance(event, bytes)) == data


@given(portions=st.lists(BYTES, max_size=6))
def test_takes_anything_and_splits_do_not_matter(portions: list[bytes]) -> None:
    def said(parts: list[bytes]) -> tuple[bytes, list[object], bytes]:
        telnet = Telnet()
        parsed = [telnet.feed(part) for part in parts]
        events = [event for one in parsed for event in one.events]
        plain = b"".join(event for event in events if isinstance(event, bytes))
        lines = [event for event in events if isinstance(event, ControlLines)]
        return plain, list(lines), b"".join(bytes(one.replies) for one in parsed)

    assert said(portions) == said([b"".join(portions)])


def test_options_are_agreed_once() -> None:
    telnet = Telnet()
    asked = bytes((IAC, WILL, 44, IAC, DO, 0, IAC, DO, 99))
    assert telnet.feed(asked).replies == bytes((IAC, DO, 44, IAC, WILL, 0, IAC, WONT, 99))
    assert telnet.feed(asked).replies == b""


def test_settings_are_said_back() -> None:
    baud = bytes((IAC, SB, 44, 1, 0, 1, 194, 0, IAC, SE))
    assert Telnet().feed(baud).replies == bytes((IAC, SB, 44, 101, 0, 1, 194, 0, IAC, SE))


def test_control_lines_keep_their_place_among_the_data() -> None:
    parsed = Telnet().feed(b"before" + set_control(8) + set_control(11) + b"after")
    assert parsed.events == [b"before", ControlLines(True, False), ControlLines(True, True), b"after"]


def changes(*lines: tuple[bool, bool]) -> list[bool | None]:
    circuit = AutoReset()
    return [circuit.change(ControlLines(dtr, rts)) for dtr, rts in lines]


def test_host_asks_for_download_mode() -> None:
    # (DTR, RTS): EN low, both, IO0 low, none. The chip starts once, with IO0 low.
    assert changes((False, True), (True, True), (True, False), (False, False)) == [None, None, True, None]


def test_host_asks_for_a_reset() -> None:
    assert changes((False, True), (False, False)) == [None, False]


def test_lines_without_a_reset_start_nothing() -> None:
    assert changes((True, True), (True, False), (False, False)) == [None, None, None]
