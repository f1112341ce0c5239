"""Ids, topics and the configuration that is made of them."""

from __future__ import annotations

import pytest

from fieldline_gateway.sparkplug.config import EdgeConfig
from fieldline_gateway.sparkplug.errors import UsageError
from fieldline_gateway.sparkplug.topics import Command, Topics, check_id, state_topic

BAD = ["", "a/b", "a+", "#", "a\nb", "a\x00b", "\x7f", "\ud83d", "ä" * 128]


@pytest.mark.parametrize("bad", BAD)
def test_ids_that_cannot_stand_in_a_topic(bad: str) -> None:
    with pytest.raises(UsageError, match="pump id"):
        check_id("pump id", bad)
    with pytest.raises(UsageError):
        state_topic(bad)


@pytest.mark.parametrize("good", ["a", "Plant 1", "Anlage Süd", "泵", "a.b:c(d)", "x" * 255])
def test_ids_that_can(good: str) -> None:
    assert check_id("pump id", good) == good


def test_topics() -> None:
    topics = Topics("G 1", "E")
    assert topics.nbirth == "spBv1.0/G 1/NBIRTH/E"
    assert topics.device("DDATA", "d") == "spBv1.0/G 1/DDATA/E/d"
    assert state_topic("host") == "spBv1.0/STATE/host"


@pytest.mark.parametrize(
    ("topic", "found"),
    [
        ("spBv1.0/G/NCMD/E", Command(None)),
        ("spBv1.0/G/DCMD/E/d", Command("d")),
        ("spBv1.0/G/DCMD/E/NCMD", Command("NCMD")),
        ("spBv1.0/G/NCMD/E/d", None),
        ("spBv1.0/G/DCMD/E", None),
        ("spBv1.0/G/DCMD/E/", None),
        ("spBv1.0/G/DCMD/E/d/e", None),
        ("spBv1.0/G/DCMD/E2/d", None),
        ("spBv1.0/g/NCMD/E", None),
        ("spAv1.0/G/NCMD/E", None),
        ("", None),
    ],
)
def test_commands_to_us(topic: str, found: Command | None) -> None:
    assert Topics("G", "E").command(topic) == found


def test_a_group_of_that_name_would_look_like_a_host() -> None:
    with pytest.raises(UsageError, match="STATE"):
        Topics("STATE", "E")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("group", "a/b"),
        ("edge", ""),
        ("primary_host", "a#"),
        ("servers", 0),
        ("settle_ms", -1),
        ("mark_ms", 0),
        ("confirm_ms", 0),
        ("host_wait_ms", 0),
        ("window", 7),
        ("fresh_ms", -1),
        ("linger_ms", -1),
        ("max_payload", 2047),
        ("max_metrics", 0),
    ],
)
def test_a_configuration_that_cannot_work(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=r"id|STATE|sparkplug"):
        EdgeConfig(**{"group": "G", "edge": "E", name: value})  # type: ignore[arg-type]
