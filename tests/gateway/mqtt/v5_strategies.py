"""Any MQTT 5.0 packet that can be said, for hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from fieldline_gateway.mqtt.codec import properties, reasons, v5
from fieldline_gateway.mqtt.codec.properties import NONE, Properties

ids = st.integers(1, 65_535)
qos = st.integers(0, 2)
payloads = st.binary(max_size=200)
strings = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
names = strings.map(lambda text: text.replace("+", "").replace("#", "")).filter(bool)
binaries = st.binary(max_size=20)

two = st.integers(0, 0xFFFF)
four = st.integers(0, 0xFFFF_FFFF)
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "payload_format": st.booleans(),
    "message_expiry": four,
    "content_type": strings,
    "response_topic": names,
    "correlation_data": binaries,
    "session_expiry": four,
    "assigned_client_id": strings,
    "server_keep_alive": two,
    "authentication_method": strings,
    "request_problem": st.booleans(),
    "will_delay": four,
    "request_response": st.booleans(),
    "response_information": strings,
    "server_reference": strings,
    "reason_string": strings,
    "receive_maximum": st.integers(1, 0xFFFF),
    "topic_alias_maximum": two,
    "topic_alias": st.integers(1, 0xFFFF),
    "maximum_qos": st.integers(0, 1),
    "retain_available": st.booleans(),
    "maximum_packet_size": st.integers(1, 268_435_455),  # more is allowed, and nothing to paho
    "wildcard_available": st.booleans(),
    "identifiers_available": st.booleans(),
    "shared_available": st.booleans(),
    "user": st.lists(st.tuples(strings, strings), max_size=3).map(tuple),
}


@st.composite
def any_properties(draw: st.DrawFn, where: int) -> Properties:
    """Some of the properties that packet type `where` may have."""
    fields = [entry.field for entry in properties._BY_CODE[where].values()]
    chosen = draw(st.lists(st.sampled_from(fields), unique=True, max_size=8))
    found: dict[str, Any] = {}
    for field in chosen:
        if field == "subscription_identifiers":
            most = 1 if where == properties.SUBSCRIBE else 3
            found[field] = draw(st.lists(st.integers(1, 268_435_455), max_size=most).map(tuple))
        elif field == "authentication_data":
            found[field] = draw(binaries)
            found["authentication_method"] = draw(strings)
        elif field not in found:
            found[field] = draw(_VALUES[field])
    return Properties(**found) if found else NONE


def has(where: int) -> st.SearchStrategy[Properties]:
    return st.just(NONE) | any_properties(where)


wills = st.builds(v5.Will, names, payloads, qos, st.booleans(), has(properties.WILL))
connects = st.builds(
    v5.Connect,
    strings,
    two,
    st.booleans(),
    st.none() | wills,
    st.none() | strings,
    st.none() | binaries,
    has(properties.CONNECT),
)


@st.composite
def connacks(draw: st.DrawFn) -> v5.Connack:
    code = draw(st.sampled_from(sorted(reasons.CONNACK_CODES)))
    return v5.Connack(code, not code and draw(st.booleans()), draw(has(properties.CONNACK)))


@st.composite
def publishes(draw: st.DrawFn) -> v5.Publish:
    level = draw(qos)
    found = draw(has(properties.PUBLISH))
    topic = draw(names if found.topic_alias is None else st.just("") | names)
    dup, ident = (draw(st.booleans()), draw(ids)) if level else (False, 0)
    return v5.Publish(topic, draw(payloads), level, draw(st.booleans()), dup, ident, found)


def _acks(kind: Any) -> st.SearchStrategy[v5.Packet]:
    return st.builds(kind, ids, st.sampled_from(sorted(kind.CODES)), has(kind.TYPE))


filters = st.builds(v5.Filter, names, qos, st.booleans(), st.booleans(), qos).filter(
    lambda item: not (item.no_local and item.topic.startswith("$share/"))
)


@st.composite
def auths(draw: st.DrawFn) -> v5.Auth:
    if draw(st.booleans()):
        return v5.Auth()
    found = draw(any_properties(properties.AUTH).filter(lambda it: it.authentication_method is not None))
    return v5.Auth(draw(st.sampled_from(sorted(reasons.AUTH_CODES))), found)


packets: st.SearchStrategy[v5.Packet] = st.one_of(
    connects,
    connacks(),
    publishes(),
    *(_acks(kind) for kind in (v5.Puback, v5.Pubrec, v5.Pubrel, v5.Pubcomp)),
    st.builds(v5.Subscribe, ids, st.lists(filters, min_size=1, max_size=3).map(tuple), has(8)),
    st.builds(
        v5.Suback, ids, st.lists(st.sampled_from(sorted(reasons.SUBACK_CODES)), max_size=3).map(tuple), has(9)
    ),
    st.builds(v5.Unsubscribe, ids, st.lists(strings, min_size=1, max_size=3).map(tuple), has(10)),
    st.builds(
        v5.Unsuback,
        ids,
        st.lists(st.sampled_from(sorted(reasons.UNSUBACK_CODES)), max_size=3).map(tuple),
        has(11),
    ),
    st.just(v5.Pingreq()),
    st.just(v5.Pingresp()),
    st.builds(v5.Disconnect, st.sampled_from(sorted(reasons.DISCONNECT_CODES)), has(14)),
    auths(),
)
