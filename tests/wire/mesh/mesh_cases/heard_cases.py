"""Neighbours, on every interpreter: who is one, how much of what it says comes, what is told of it."""

import struct

from fieldline_wire.mesh.heard import Heard
from fieldline_wire.mesh.lower import Heartbeat
from fieldline_wire.mesh.network import NetworkPdu

TTL = 4


def said(src, seq, ttl=TTL):
    return NetworkPdu(0, ttl, seq, src, 1, 0, b"\x00data")


def beat(src, seq, ttl=TTL, began=TTL):
    return NetworkPdu(1, ttl, seq, src, 1, 0, Heartbeat(began, 0).to_bytes())


def rows(heard):
    data = heard.report()
    return sorted([struct.unpack_from(">HBB", data, at) for at in range(0, len(data), 4)])


def case_only_a_heartbeat_with_the_ttl_that_it_set_out_with_makes_a_neighbour(aes):
    heard = Heard(4)
    heard.take(said(2, 1), 0)
    heard.take(beat(2, 2, TTL - 1), 0)
    heard.take(NetworkPdu(1, TTL, 3, 2, 1, 0, b"\x0a"), 0)
    heard.take(NetworkPdu(1, TTL, 4, 2, 1, 0, b"\x00" + bytes(6)), 0)
    assert rows(heard) == []
    heard.take(beat(2, 5), 0)
    assert rows(heard) == [(2, 1, 1)]


def case_what_came_over_a_relay_was_said_and_not_heard(aes):
    heard = Heard(4)
    heard.take(beat(2, 10), 0)
    heard.take(said(2, 11, TTL - 1), 0)
    heard.take(said(2, 13), 0)
    assert rows(heard) == [(2, 2, 4)]
    heard.take(said(2, 14), 0)
    assert rows(heard) == [(2, 1, 1)], "it began anew when it was told"


def case_a_neighbour_of_whom_nothing_more_comes_is_forgotten(aes):
    heard = Heard(4)
    heard.take(beat(2, 10), 0)
    assert rows(heard) == [(2, 1, 1)]
    heard.take(said(2, 20, TTL - 1), 0)
    assert rows(heard) == [] and not heard.rows


def case_another_ttl_is_learnt_from_the_next_heartbeat(aes):
    heard = Heard(4)
    heard.take(beat(2, 10), 0)
    heard.take(beat(2, 11, 6, 6), 0)
    heard.take(said(2, 12, 6), 0)
    assert rows(heard) == [(2, 2, 2)]


def case_a_reset_of_the_source_counts_nothing_as_lost(aes):
    heard = Heard(4)
    heard.take(beat(2, 10), 0)
    heard.take(said(2, 266), 0)
    heard.take(said(2, 267), 0)
    assert rows(heard) == [(2, 2, 2)]


def case_segments_that_overtake_each_other_are_counted_once_each(aes):
    heard = Heard(4)
    heard.take(beat(2, 10), 0)
    for seq in (13, 12, 9, 11):
        heard.take(said(2, seq), 0)
    assert rows(heard) == [(2, 5, 5)]


def case_many_are_told_in_proportion(aes):
    heard = Heard(4)
    heard.take(beat(2, 0), 0)
    for seq in range(1, 1000):
        heard.take(said(2, seq, TTL if seq % 4 else TTL - 1), 0)
    assert rows(heard) == [(2, 187, 250)]


def case_the_table_is_bounded_and_the_weakest_gives_way(aes):
    heard = Heard(2)
    for src, count in ((2, 5), (3, 1), (4, 2)):
        for seq in range(count):
            heard.take(beat(src, seq), 0)
    assert [row[0] for row in rows(heard)] == [2, 4]
