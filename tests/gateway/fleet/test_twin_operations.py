"""Settings by the twin: down and back, refused, for a node that is away, over kills; the node's word is its own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_gateway.errors import RegistryError, UsageError
from fieldline_gateway.fleet import settings
from fieldline_gateway.fleet.twins import TwinError
from fieldline_gateway.ingest import checkpoint
from fieldline_gateway.ingest.orders import RETRY_MS
from fieldline_wire.messages import Config
from tests.fakes.gateway_node import FakeNode
from tests.gateway.fleet.conftest import World

WEEK_MS = 7 * 86_400_000


def configs(world: World, node: FakeNode) -> list[Config]:
    return [message for message in world.down(node) if isinstance(message, Config)]


async def answers(world: World, node: FakeNode, config: Config, **fields: Any) -> None:
    world.hears(node.seal(Config(config.version, config.settings, reported=True, **fields).to_bytes()))
    await world.twins.keep_reported()


async def wish(world: World, target: str = "fan-1", **config: Any) -> Any:
    return await world.call("twin.update", target=target, state={"desired": {"config": config}})


async def test_a_setting_goes_down_and_the_twin_converges(world: World) -> None:
    node = world.nodes[0]
    world.hears(node.hello())
    world.down(node)
    await wish(world, report_ms=5000, sensors={"1": {"pulses_per_turn": 4}})
    (config,) = configs(world, node)
    assert (config.version, config.settings) == (1, [(1, 10, 4), (0xFF, 2, 5000)])
    told = await world.call("nodes.list", target="Q@delta.config.report_ms=5000")
    assert [found["name"] for found in told["nodes"]] == ["fan-1"]
    await answers(world, node, config)
    twin = (await world.call("twin.get", node="fan-1"))["state"]
    assert "delta" not in twin and twin["reported"]["config_version"] == 1
    assert twin["reported"]["config"] == {"report_ms": 5000, "sensors": {"1": {"pulses_per_turn": 4}}}
    version = (await world.call("twin.get", node="fan-1"))["version"]
    await answers(world, node, config)
    assert (await world.call("twin.get", node="fan-1"))["version"] == version, "nothing new was said"
    await wish(world, sensors=None)
    (config,) = configs(world, node)
    assert (config.version, config.settings) == (2, [(0xFF, 2, 5000)])


async def test_a_node_that_was_away_for_a_week_comes_back_to_it_over_kills(world: World) -> None:
    node = world.nodes[0]
    world.hears(node.hello(config_version=3))
    world.down(node)
    world.again()
    await wish(world, report_ms=5000)
    world.ms += WEEK_MS
    world.again()
    assert configs(world, node) == []
    for _ in range(2):  # the first is lost on its way
        world.hears(node.hello(config_version=0))
        (config,) = configs(world, node)
        world.again()
    await answers(world, node, config)
    world.again()
    assert (await world.call("nodes.get", node="fan-1"))["converged"]
    world.hears(node.hello(config_version=config.version))
    assert configs(world, node) == []


async def test_what_a_node_said_before_a_kill_is_found_in_the_log(world: World) -> None:
    node = world.nodes[0]
    await wish(world, report_ms=5000)
    world.hears(node.hello())
    (config,) = configs(world, node)
    world.hears(node.seal(Config(config.version, config.settings, reported=True).to_bytes()))
    log = world.store.records
    world.again()
    assert not (await world.call("nodes.get", node="fan-1"))["converged"]
    checkpoint.replay(world.ingest, log)
    await world.twins.keep_reported()
    assert (await world.call("nodes.get", node="fan-1"))["converged"]


async def test_a_disk_that_fails_loses_no_report(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    node = world.nodes[0]
    world.hears(node.seal(Config(4, [(0xFF, 2, 700)], reported=True).to_bytes()))
    with monkeypatch.context() as broken:
        broken.setattr(world.fleet.tables, "save_twins", _fails)
        with pytest.raises(RegistryError):
            await world.twins.keep_reported()
        before = await world.call("nodes.get", node="fan-2")
        with pytest.raises(RegistryError):
            await wish(world, "fan-2", report_ms=5000)
        assert await world.call("nodes.get", node="fan-2") == before
    await world.twins.keep_reported()
    assert (await world.call("twin.get", node="fan-1"))["state"]["reported"]["config"] == {"report_ms": 700}
    await wish(world, report_ms=800)
    assert configs(world, node)[0].version == 5, "above what the node has"


def _fails(*_: object) -> None:
    raise RegistryError("the disk is full")


async def test_a_refused_setting_is_seen_in_the_twin_until_one_is_taken(world: World) -> None:
    node = world.nodes[0]
    world.hears(node.hello())
    await wish(world, sensors={"7": {"stall_ms": 10}})
    assert len(configs(world, node)) == 1
    await answers(world, node, Config(0, [(0xFF, 2, 1000)]), refused=(7, 12, 3))
    twin = (await world.call("twin.get", node="fan-1"))["state"]
    assert twin["reported"]["config_refused"] == {
        "setting": "stall_ms",
        "sensor": 7,
        "reason": "no such sensor",
    }
    assert twin["delta"] == {"config": {"sensors": {"7": {"stall_ms": 10}}}}
    await wish(world, sensors=None)
    await answers(world, node, configs(world, node)[-1])
    twin = (await world.call("twin.get", node="fan-1"))["state"]
    assert "config_refused" not in twin["reported"] and "delta" not in twin


async def test_all_nodes_of_a_target_or_none(world: World) -> None:
    assert len((await wish(world, "*", report_ms=500))["nodes"]) == 5
    with pytest.raises(TwinError, match="409"):
        await world.call(
            "twin.update", target="*", version=7, state={"desired": {"config": {"report_ms": 900}}}
        )
    assert {desired[0] for desired in world.registry.desired().values()} == {1}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"report": 1}, "'config.report' is no setting"),
        ({"report_ms": 9}, "from 10 to 86400000"),
        ({"report_ms": True}, "whole number"),
        ({"report_ms": 10.5}, "whole number"),
        ({"sensors": {"255": {}}}, "a sensor is a number"),
        ({"sensors": {"01": {}}}, "a sensor is a number"),
        ({"sensors": {"1": {"report_ms": 1000}}}, "no setting"),
        ({"sensors": {"1": 7}}, "must be an object"),
        ({"sensors": 7}, "must be an object"),
    ],
)
async def test_the_schema(world: World, config: Any, said: str) -> None:
    with pytest.raises(TwinError, match=said):
        await world.call("twin.update", node="fan-1", state={"desired": {"config": config}})
    assert world.registry.desired() == {}


@pytest.mark.parametrize("reported", [None, {"config": {}}, {"config_version": 7}])
async def test_nobody_speaks_for_the_node(world: World, reported: Any) -> None:
    with pytest.raises(TwinError, match="the node's own"):
        await world.call("twin.update", node="fan-1", state={"reported": reported})


async def test_a_deleted_twin_sets_the_node_to_its_defaults(world: World) -> None:
    node = world.nodes[0]
    await wish(world, report_ms=500)
    world.hears(node.hello())
    world.down(node)
    await world.call("twin.delete", node="fan-1")
    (config,) = configs(world, node)
    assert (config.version, config.settings) == (2, [])
    with pytest.raises(TwinError, match="404"):
        await world.call("twin.get", node="fan-1")


async def test_the_page_sets_the_twin(world: World) -> None:
    node = world.nodes[0]
    told = await world.call("node.set", node=node.id.hex(), settings={"report_ms": 500})
    assert told == {
        "node": node.id.hex(),
        "desired": {"report_ms": 500},
        "version": 1,
        "reported_version": None,
        "converged": False,
    }
    await world.call("node.set", node=node.id.hex(), settings={"sample_ms": 100})
    world.hears(node.hello(config_version=2))
    told = await world.call("node.settings", node=node.id.hex())
    assert told["desired"] == {"report_ms": 500, "sample_ms": 100} and told["converged"]
    with pytest.raises(UsageError, match="no enrolled node"):
        await world.call("node.settings", node="00")


async def test_settings_of_before_there_were_twins_are_the_twins(world: World) -> None:
    world.registry.set_desired(world.nodes[0].id, 4, Config(4, [(0xFF, 2, 700)]).to_bytes())
    world.again()
    assert (await world.call("twin.get", node="fan-1"))["state"]["desired"] == {"config": {"report_ms": 700}}
    await wish(world, sample_ms=100)
    version, message = world.registry.desired()[world.nodes[0].id]
    assert (version, sorted(Config.from_bytes(message).settings)) == (5, [(0xFF, 1, 100), (0xFF, 2, 700)])


async def test_a_node_that_claims_the_last_version(world: World) -> None:
    world.hears(world.nodes[0].hello(config_version=2**32 - 1))
    with pytest.raises(UsageError, match="factory-reset"):
        await wish(world, report_ms=500)


@given(st.dictionaries(st.tuples(st.integers(0, 255), st.integers(0, 255)), st.integers(-(2**31), 2**31 - 1)))
def test_any_reported_settings_are_json(found: dict[tuple[int, int], int]) -> None:
    rows = [(sensor, key, value) for (sensor, key), value in found.items()]
    told = settings.reported(Config(1, rows[:255], reported=True, refused=(9, 99, 9)))
    assert told["config_refused"] == {"setting": "key_99", "reason": "reason 9", "sensor": 9}


NAMES = st.sampled_from(["report_ms", "sensors", "1", "255", "stall_ms", "", "²"])
ANY = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


@given(ANY)
def test_any_json_is_settings_or_refused(config: Any) -> None:
    try:
        rows = settings.to_wire(config)
    except UsageError:
        return
    assert settings.to_wire(settings.from_wire(rows)) == rows


async def test_settings_that_have_no_answer_are_told_again_when_the_node_speaks(world: World) -> None:
    node = world.nodes[0]
    world.hears(node.hello())
    world.down(node)
    await world.call("twin.update", node="fan-1", state={"desired": {"config": {"report_ms": 5000}}})
    (config,) = world.down(node)  # and is lost
    world.hears(node.report(1))
    assert configs(world, node) == [], "it was told a moment ago"
    world.ms += RETRY_MS
    world.hears(node.report(2))
    assert configs(world, node) == [config]
    world.hears(node.seal(Config(config.version, config.settings, reported=True).to_bytes()))
    world.ms += RETRY_MS
    world.hears(node.report(3))
    assert configs(world, node) == []


async def test_settings_are_told_after_a_restart_though_the_node_does_not_greet(world: World) -> None:
    node = world.nodes[0]
    world.hears(node.hello())
    world.checkpointed()
    await world.call("twin.update", node="fan-1", state={"desired": {"config": {"report_ms": 5000}}})
    world.down(node)  # lost with the gateway
    world.again()
    world.hears(node.report(1))
    (config,) = configs(world, node)
    world.hears(node.report(2))
    assert configs(world, node) == []
    world.hears(node.seal(Config(config.version, config.settings, reported=True).to_bytes()))
    await world.twins.keep_reported()
    assert "delta" not in (await world.call("twin.get", node="fan-1"))["state"]


async def test_settings_that_were_refused_are_not_told_again_and_again(world: World) -> None:
    node = world.nodes[0]
    world.hears(node.hello())
    await world.call("twin.update", node="fan-1", state={"desired": {"config": {"report_ms": 5000}}})
    world.down(node)
    world.hears(node.seal(Config(0, [], reported=True, refused=(255, 2, 2)).to_bytes()))
    world.ms += RETRY_MS
    world.hears(node.report(1))
    assert configs(world, node) == []
    await world.call("twin.update", node="fan-1", state={"desired": {"config": {"report_ms": 6000}}})
    assert [config.version for config in configs(world, node)] == [2], "another wish is told"
