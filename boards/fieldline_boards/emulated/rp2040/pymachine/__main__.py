"""One emulated board as a process: the protocol of ../machine/main.mjs, spoken by the engine "py".

Rules: the first command is "power_on"; the end of standard input is the end of the board.
"""

from __future__ import annotations

import base64
import json
import os
import select
import sys
from typing import Any

from fieldline_boards.emulated.rp2040.pymachine.machine import Machine, Message

_READ = 65536
_STDIN, _STDOUT = 0, 1


class _Lines:
    """JSON lines from a file descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._partial = b""

    def read(self) -> list[Message] | None:
        """What has come, waiting for some; None at the end."""
        data = os.read(self.fd, _READ)
        if not data:
            return None
        *lines, self._partial = (self._partial + data).split(b"\n")
        return [json.loads(line) for line in lines]


class _Process:
    def __init__(self) -> None:
        self._commands = _Lines(_STDIN)
        setup, *rest = self._first()
        self._questions = _Lines(setup["devices"])
        setup["bootrom"] = base64.b64decode(setup["bootrom"])
        self.machine = Machine(setup, _tell, self._ask)
        self.machine.boot()
        for command in rest:
            self._obey(command)

    def run(self) -> None:
        """Until the power goes."""
        while self.machine.alive:
            wait = self.machine.slice()
            if select.select([_STDIN], [], [], wait)[0]:
                commands = self._commands.read()
                if commands is None:
                    return
                for command in commands:
                    self._obey(command)

    def _first(self) -> list[Message]:
        while True:
            commands = self._commands.read()
            if commands is None:
                sys.exit(0)
            if commands:
                return commands

    def _ask(self, question: Message) -> Any:
        _write(self._questions.fd, {**question, "us": self.machine.micros})
        while True:
            answers = self._questions.read()
            if answers is None:
                sys.exit(0)
            for answer in answers:
                for command in answer["do"]:
                    self._obey(command)
                return answer["value"]

    def _obey(self, command: Message) -> None:
        machine = self.machine
        match command:
            case {"do": "console", "text": text}:
                machine.console.write(text.encode("latin-1"))
            case {"do": "open", "open": is_open}:
                machine.console.set_open(is_open)
            case {"do": "drive", "pin": pin, "level": level}:
                machine.world.drive(pin, level)
            case {
                "do": "pulses",
                "pin": pin,
                "hz": hz,
                "duty": duty,
                "count": count,
                "openDrain": open_drain,
            }:
                machine.world.pulses(pin, hz, duty, count, open_drain)
            case {"do": "listen", "pins": pins}:
                machine.world.listened = frozenset(pins)
            case {"do": "adc", "channel": channel, "value": value}:
                machine.world.set_adc(channel, value)
            case {"do": "uart", "bus": bus, "text": text}:
                machine.buses.send(bus, text.encode("latin-1"))
            case {"do": "timer", "timer": timer, "us": us}:
                machine.world.after(us * 1000, lambda: self._ask({"timer": timer}))
            case {"do": "cut", "at": at}:
                machine.flash.cut_at = at
            case {"do": "reset"}:
                machine.reset()
            case {"do": "status", "id": number}:
                _tell({"say": "answer", "id": number, **machine.status()})
            case _:
                raise ValueError(f"unknown command {command}")


def _tell(message: Message) -> None:
    _write(_STDOUT, message)


def _write(fd: int, message: Message) -> None:
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(fd, data) :]


if __name__ == "__main__":
    _Process().run()
