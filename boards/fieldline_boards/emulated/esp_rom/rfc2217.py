"""Serial port over telnet, the server's side (RFC 2217, RFC 854), and the circuit behind DTR and RTS.

Rules: sans-IO; takes any bytes, raises nothing. Every setting of the host is accepted and said back, as
there is no wire whose speed could be wrong; only DTR and RTS mean anything here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_IAC, _DONT, _DO, _WONT, _WILL, _SB, _SE = 255, 254, 253, 252, 251, 250, 240
_BINARY, _ECHO, _SUPPRESS_GO_AHEAD, _COM_PORT = 0, 1, 3, 44
_ACCEPTED = {_BINARY, _ECHO, _SUPPRESS_GO_AHEAD, _COM_PORT}
_SET_CONTROL = 5
_REPLY = 100  # from a command of the client to the server's answer
_CONTROL = {8: ("dtr", True), 9: ("dtr", False), 11: ("rts", True), 12: ("rts", False)}

# A suboption holds a command and at most four bytes of value; what is longer is thrown away.
MAX_SUBOPTION = 16


@dataclass(frozen=True, slots=True)
class ControlLines:
    """DTR and RTS as the host has just set them."""

    dtr: bool
    rts: bool


@dataclass(slots=True)
class Parsed:
    """What a portion of bytes held: `events` are serial data and changes of the control lines, in order."""

    events: list[bytes | ControlLines] = field(default_factory=list)
    replies: bytearray = field(default_factory=bytearray)


class Telnet:
    """One connection."""

    def __init__(self) -> None:
        self._command: int | None = None  # of a telnet command whose rest is still to come
        self._suboption: bytearray | None = None
        self._lines = {"dtr": False, "rts": False}
        self._answered: set[tuple[int, int]] = set()

    def feed(self, data: bytes) -> Parsed:
        """Take the telnet commands out of `data`."""
        parsed = Parsed()
        plain = bytearray()
        for byte in data:
            before = len(parsed.events)
            if self._plain(byte, parsed):
                plain.append(byte)
            if len(parsed.events) > before and plain:
                parsed.events.insert(before, bytes(plain))
                plain.clear()
        if plain:
            parsed.events.append(bytes(plain))
        return parsed

    @staticmethod
    def escape(data: bytes) -> bytes:
        """Serial data as they go over the connection."""
        return data.replace(b"\xff", b"\xff\xff")

    def _plain(self, byte: int, parsed: Parsed) -> bool:
        """True where the byte is serial data."""
        if self._command is None:
            if byte == _IAC:
                self._command = _IAC
                return False
            return self._outside_suboption(byte)
        command, self._command = self._command, None
        if command != _IAC:
            self._negotiate(command, byte, parsed)
        elif byte == _IAC:
            return self._outside_suboption(byte)
        elif byte == _SB:
            self._suboption = bytearray()
        elif byte == _SE:
            self._end_suboption(parsed)
        elif byte in (_DO, _DONT, _WILL, _WONT):
            self._command = byte
        return False

    def _outside_suboption(self, byte: int) -> bool:
        if self._suboption is None:
            return True
        if len(self._suboption) < MAX_SUBOPTION:
            self._suboption.append(byte)
        return False

    def _negotiate(self, command: int, option: int, parsed: Parsed) -> None:
        if command not in (_DO, _WILL) or (command, option) in self._answered:
            return
        self._answered.add((command, option))  # a second answer could go on for ever (RFC 854)
        yes, no = (_WILL, _WONT) if command == _DO else (_DO, _DONT)
        parsed.replies += bytes((_IAC, yes if option in _ACCEPTED else no, option))

    def _end_suboption(self, parsed: Parsed) -> None:
        suboption, self._suboption = self._suboption, None
        if suboption is None or len(suboption) < 2 or suboption[0] != _COM_PORT:
            return
        command, value = suboption[1], bytes(suboption[2:])
        if command >= _REPLY:
            return
        answer = bytes((_COM_PORT, command + _REPLY)) + self.escape(value)
        parsed.replies += bytes((_IAC, _SB)) + answer + bytes((_IAC, _SE))
        if command == _SET_CONTROL and value and value[0] in _CONTROL:
            name, level = _CONTROL[value[0]]
            self._lines[name] = level
            parsed.events.append(ControlLines(self._lines["dtr"], self._lines["rts"]))


class AutoReset:
    """The two transistors of a development board (ESP32-DevKitC schematic, "Auto program").

    RTS alone pulls EN low, DTR alone pulls IO0 low. Both together do neither, but the capacitor on EN holds
    the chip in reset while a host passes through that state.
    """

    def __init__(self) -> None:
        self._held = False

    def change(self, lines: ControlLines) -> bool | None:
        """True: the chip starts in download mode; False: it starts its program; None: it goes on as it is."""
        if lines.rts and not lines.dtr:
            self._held = True
            return None
        if not self._held or (lines.rts and lines.dtr):
            return None
        self._held = False
        return lines.dtr
