"""What nodes are to be told: desired settings and commands, each until the node has answered (wire.md 5.11 to 5.13).

Rules: the registry has all of it first; what of it waits is here. A node is told its commands one at a time, so that
it has each among its last 8 ids; what it does not answer is told again when it speaks RETRY_MS later. What is for
many nodes at once goes down in slices (tell_some), so that no reading waits for it. A node that was not heard in this
run is told nothing: its boot is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from math import inf

from fieldline_gateway.ingest.came import Moment
from fieldline_gateway.ingest.downlinks import Downlinks
from fieldline_gateway.ingest.node import NodeState
from fieldline_gateway.registry import Command
from fieldline_wire import messages
from fieldline_wire.messages import RESULT_TAKEN, Config, Result

RETRY_MS = 10_000
MAX_TTL_S = 0xFFFF
"""wire.md 5.12: two bytes."""


class Orders:
    """Of all nodes."""

    def __init__(self, states: Mapping[bytes, NodeState], downlinks: Downlinks) -> None:
        self.desired: dict[bytes, tuple[int, bytes]] = {}
        """Version and Config message of each node that has one."""
        self.told: dict[bytes, tuple[int, int]] = {}
        """(command id, monotonic ms) of the command that each node was told last in this run."""
        self.taken: set[int] = set()
        """Commands that their node is at."""
        self._states = states
        self._downlinks = downlinks
        self._commands: dict[bytes, list[Command]] = {}
        self._next_late_ms = inf
        """Before this UTC no command is too late."""
        self._withdrawn: set[tuple[bytes, int]] = set()
        """Commands that were taken back after they were told: what the node says of them still counts."""
        self._told_config: dict[bytes, tuple[int, int | None]] = {}
        """(version, monotonic ms; None: it has answered) of the settings that each node was told last in this run."""
        self._untold: dict[bytes, None] = {}
        """Nodes for which something came, in order."""

    def __bool__(self) -> bool:
        """Whether tell_some has something to do."""
        return bool(self._untold)

    # --- what is to be told

    def set_desired(self, desired: Mapping[bytes, tuple[int, bytes]]) -> None:
        """The registry has these and no others."""
        self.desired = dict(desired)

    def desire(self, node: bytes, version: int, message: bytes) -> None:
        """The registry has this for a node: it goes down now, or when the node next speaks."""
        self.desired[node] = (version, message)
        self._untold[node] = None

    def set_commands(self, commands: Iterable[Command], done: Iterable[tuple[bytes, int]] = ()) -> None:
        """The registry has these and no others, but for (node, id) that are done and not in it yet."""
        over = set(done)
        self._commands = {}
        self._next_late_ms = inf
        self.add_commands(command for command in commands if (command.node, command.id) not in over)

    def add_commands(self, commands: Iterable[Command]) -> None:
        """These are in the registry, too; a node that was heard is told the first of its own soon."""
        for command in commands:
            self._commands.setdefault(command.node, []).append(command)
            self._next_late_ms = min(self._next_late_ms, command.until_ms)
            self._untold[command.node] = None

    def withdraw(self, commands: Iterable[tuple[bytes, int]]) -> int:
        """Commands (node, id) that are taken back; how many of them their nodes were told already."""
        told = 0
        for node, command in commands:
            self._drop(node, command)
            if self.told.get(node, (0, 0))[0] == command:
                self._withdrawn.add((node, command))
                told += 1
        return told

    def late(self, utc_ms: int) -> list[bytes]:
        """All nodes for which commands wait, where some are too late: drop_late is to be called with each."""
        if utc_ms < self._next_late_ms:
            return []
        self._next_late_ms = inf
        return list(self._commands)

    def drop_late(self, utc_ms: int, nodes: Iterable[bytes]) -> None:
        """Forget commands of these nodes whose time is over."""
        for node in nodes:
            waiting = self._commands.get(node, ())
            self._keep(node, [command for command in waiting if command.until_ms > utc_ms])
            for command in self._commands.get(node, ()):
                self._next_late_ms = min(self._next_late_ms, command.until_ms)

    def waiting(self, node: bytes) -> int:
        """How many commands wait for a node."""
        return len(self._commands.get(node, ()))

    # --- telling

    def tell_some(self, now: Moment, most: int) -> None:
        """Tell nodes for which something came, the first `most` of them."""
        for node in list(islice(self._untold, most)):
            del self._untold[node]
            state = self._states.get(node)
            if state is not None and state.link is not None:
                self.spoke(now, state)

    def spoke(self, now: Moment, state: NodeState) -> None:
        """The node is here, and what it was told may not have reached it."""
        node = state.node.id
        if node in self._commands:
            told = self.told.get(node)
            first = self._commands[node][0].id
            if told is None or told[0] != first or now.mono_ms - told[1] >= RETRY_MS:
                self._tell_command(now, state)
        desired = self.desired.get(node)
        if desired is not None:
            version, told_ms = self._told_config.get(node, (None, None))
            if version != desired[0]:
                due = desired[0] != state.config_version
            else:
                due = told_ms is not None and now.mono_ms - told_ms >= RETRY_MS
            if due:
                self._tell_config(now, state)

    def greeted(self, now: Moment, state: NodeState, config_version: int) -> None:
        """The node said Hello, and which version of its settings it has (wire.md 6.4).

        It is told them where it has others, and where its answer that it has these never came: that was lost with the
        gateway before, and the twin would differ from the node for ever.
        """
        desired = self.desired.get(state.node.id)
        if desired is not None and not desired[0] == config_version == state.config_version:
            self._tell_config(now, state)
        self._tell_command(now, state)

    def _tell_config(self, now: Moment, state: NodeState) -> None:
        version, message = self.desired[state.node.id]
        self._downlinks.say_bytes(state, message)
        self._told_config[state.node.id] = (version, now.mono_ms)

    def _tell_command(self, now: Moment, state: NodeState) -> None:
        """The first that waits and is not too late."""
        node = state.node.id
        waiting = [
            command for command in self._commands.get(node, ()) if command.until_ms - now.utc_ms >= 1000
        ]
        self._keep(node, waiting)
        if waiting:
            command = waiting[0]
            ttl = min((command.until_ms - now.utc_ms) // 1000, MAX_TTL_S)
            self._downlinks.say(state, messages.Command(command.id, command.code, command.argument, ttl))
            self.told[node] = (command.id, now.mono_ms)

    # --- what nodes answer

    def configured(self, node: bytes, config: Config) -> None:
        """A node said which settings are in force."""
        told = self._told_config.get(node)
        if told is not None and (config.version >= told[0] or config.refused is not None):
            self._told_config[node] = (told[0], None)

    def answered(self, now: Moment, node: bytes, result: Result) -> bool:
        """A node said what became of a command; whether that is to be kept in the registry."""
        known = (node, result.id) in self._withdrawn or any(
            command.id == result.id for command in self._commands.get(node, ())
        )
        if not known:
            return False
        if result.status == RESULT_TAKEN:
            self.taken.add(result.id)
            self.told[node] = (result.id, now.mono_ms)
            return False
        self.taken.discard(result.id)
        self._withdrawn.discard((node, result.id))
        self._drop(node, result.id)
        return True

    def _drop(self, node: bytes, command: int) -> None:
        waiting = self._commands.get(node)
        if waiting is not None:
            self._keep(node, [each for each in waiting if each.id != command])

    def _keep(self, node: bytes, waiting: list[Command]) -> None:
        if waiting:
            self._commands[node] = waiting
        else:
            self._commands.pop(node, None)
