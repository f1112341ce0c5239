"""Topic names and filters (section 4.7), and a tree of them.

Rules: levels are split at every "/", empty ones count. A wildcard never matches a first level that begins
with "$" [MQTT-4.7.2-1]. No walk recurses, and no topic has more than MAX_LEVELS levels.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from fieldline_gateway.mqtt.codec import reasons
from fieldline_gateway.mqtt.errors import ProtocolError

MAX_LEVELS = 200
"""More levels than any site has; mosquitto's bound too, so what passes there passes here."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def levels_of(topic: str) -> list[str]:
    """The levels of a name or filter; ProtocolError where there are too many or none."""
    if not topic:
        raise ProtocolError("MQTT-4.7.3-1", "an empty topic", reasons.TOPIC_NAME_INVALID)
    if topic.count("/") >= MAX_LEVELS:
        text = f"a topic of more than {MAX_LEVELS} levels is not served here"
        raise ProtocolError("MQTT-4.8.0-1", text, reasons.TOPIC_NAME_INVALID)
    return topic.split("/")


def filter_levels(topic: str) -> list[str]:
    """The levels of a topic filter; ProtocolError where a wildcard stands in a wrong place."""
    levels = levels_of(topic)
    for number, level in enumerate(levels, 1):
        if "#" in level and (level != "#" or number != len(levels)):
            text = f"'#' is not the whole last level of {topic[:64]!r}"
            raise ProtocolError("MQTT-4.7.1-2", text, reasons.TOPIC_FILTER_INVALID)
        if "+" in level and level != "+":
            text = f"'+' is not a whole level of {topic[:64]!r}"
            raise ProtocolError("MQTT-4.7.1-3", text, reasons.TOPIC_FILTER_INVALID)
    return levels


class _Node(Generic[K, V]):
    __slots__ = ("children", "values")

    def __init__(self) -> None:
        self.children: dict[str, _Node[K, V]] = {}
        self.values: dict[K, V] = {}


class TopicTree(Generic[K, V]):
    """Values by (topic, key). The topics are filters, then ask `matching`; or names, then ask `selected`."""

    def __init__(self) -> None:
        self._root: _Node[K, V] = _Node()

    def put(self, levels: list[str], key: K, value: V) -> bool:
        """Set the value of (topic, key); true where there was none."""
        node = self._root
        for level in levels:
            child = node.children.get(level)
            if child is None:
                child = node.children[level] = _Node()
            node = child
        new = key not in node.values
        node.values[key] = value
        return new

    def discard(self, levels: list[str], key: K) -> bool:
        """Forget the value of (topic, key); false where there is none."""
        path = [self._root]
        for level in levels:
            child = path[-1].children.get(level)
            if child is None:
                return False
            path.append(child)
        if path[-1].values.pop(key, None) is None:
            return False
        while levels and not path[-1].values and not path[-1].children:
            path.pop()
            del path[-1].children[levels[len(path) - 1]]
            levels = levels[: len(path) - 1]
        return True

    def matching(self, name: list[str]) -> Iterator[tuple[K, V]]:
        """Values of all filters in the tree that match this name."""
        nodes = [self._root]
        for depth, level in enumerate(name):
            below: list[_Node[K, V]] = []
            wild = depth > 0 or not level.startswith("$")
            for node in nodes:
                children = node.children
                if wild:
                    if (rest := children.get("#")) is not None:
                        yield from rest.values.items()
                    if (one := children.get("+")) is not None:
                        below.append(one)
                if (exact := children.get(level)) is not None:
                    below.append(exact)
            nodes = below
        for node in nodes:
            yield from node.values.items()
            if (rest := node.children.get("#")) is not None:  # "a/#" matches "a" (4.7.1.2)
                yield from rest.values.items()

    def selected(self, levels: list[str]) -> Iterator[tuple[K, V]]:
        """Values of all names in the tree that this filter matches."""
        nodes = [self._root]
        for depth, level in enumerate(levels):
            if level == "#":
                yield from _all_below(nodes, hide=depth == 0)
                return
            below: list[_Node[K, V]] = []
            for node in nodes:
                if level == "+":
                    below += _children(node, hide=depth == 0)
                elif (exact := node.children.get(level)) is not None:
                    below.append(exact)
            nodes = below
        for node in nodes:
            yield from node.values.items()


def _children(node: _Node[K, V], hide: bool) -> list[_Node[K, V]]:
    return [child for level, child in node.children.items() if not (hide and level.startswith("$"))]


def _all_below(nodes: list[_Node[K, V]], hide: bool) -> Iterator[tuple[K, V]]:
    """Values of these nodes and of all below them."""
    stack = list(nodes)
    while stack:
        node = stack.pop()
        yield from node.values.items()
        stack += _children(node, hide)
        hide = False  # only the root's children are first levels
