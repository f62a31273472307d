"""Counting connections: every seat taken is given back, and no count outlives its connections."""

import logging
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import FakeClock
from ztproxy.config.edge import Connections
from ztproxy.edge.admission import HANDSHAKES, MAXIMUM, PER_SOURCE, Admission, Seat


def seated(admission: Admission, address: str = "192.0.2.1") -> Seat | None:
    seat = admission.enter()
    if seat is not None and not seat.claim(address):
        seat.leave()
        return None
    return seat


def test_so_many_in_all():
    admission = Admission(Connections(maximum=2))
    first, second = seated(admission), seated(admission, "192.0.2.2")
    assert first
    assert second
    assert seated(admission, "192.0.2.3") is None
    assert admission.refused == {MAXIMUM: 1}
    first.leave()
    assert seated(admission, "192.0.2.3")


def test_so_many_handshakes():
    admission = Admission(Connections(handshakes=1))
    first = seated(admission)
    assert first
    assert seated(admission, "192.0.2.2") is None
    first.greeted()
    assert seated(admission, "192.0.2.2")
    assert admission.refused == {HANDSHAKES: 1}


@pytest.mark.parametrize(
    ("taken", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", "192.0.2.1"),
        ("192.0.2.1", "::ffff:192.0.2.2", "::ffff:192.0.2.1"),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:1:ffff::9"),
    ],
)
def test_so_many_from_one_source(taken, other, same):
    admission = Admission(Connections(per_source=1))
    first = seated(admission, taken)
    assert first
    assert seated(admission, same) is None
    assert seated(admission, other)
    first.leave()
    assert seated(admission, same)
    assert admission.refused == {PER_SOURCE: 1}


@pytest.mark.parametrize("address", ["", "10.1.2.3", "::ffff:10.1.2.3"])
def test_who_speaks_for_many_is_not_counted(address):
    admission = Admission(Connections(per_source=1), (ip_network("10.0.0.0/8"),))
    assert all(seated(admission, address) for _ in range(5))
    assert not admission.sources


def test_what_is_refused_is_told_now_and_then(caplog):
    clock = FakeClock(0.0)
    admission = Admission(Connections(maximum=1), clock=clock)
    seated(admission)
    with caplog.at_level(logging.WARNING, "ztproxy.edge"):
        for _ in range(100):
            seated(admission)
        clock.now += 1
        seated(admission)
    assert [record.getMessage() for record in caplog.records] == [
        "connections refused: `connections.maximum` is reached (1 refused so far)",
        "connections refused: `connections.maximum` is reached (101 refused so far)",
    ]


@given(st.lists(st.tuples(st.sampled_from(["enter", "greeted", "leave"]), st.integers(0, 9), st.integers(0, 3))))
def test_the_counts_are_those_of_the_seats(steps):
    admission = Admission(Connections(maximum=4, handshakes=3, per_source=2))
    seats: list[tuple[Seat, str]] = []
    for step, which, last in steps:
        if step == "enter":
            if seat := seated(admission, f"192.0.2.{last}"):
                seats.append((seat, f"192.0.2.{last}"))
        elif seats:
            seat, _ = seats[which % len(seats)]
            if step == "greeted":
                seat.greeted()
            else:
                seat.leave()
                del seats[which % len(seats)]
        assert admission.open == len(seats) <= 4
        assert admission.handshakes <= 3
        assert sum(admission.sources.values()) == len(seats)
        assert all(0 < count <= 2 for count in admission.sources.values())
    for seat, _ in seats:
        seat.leave()
    assert (admission.open, admission.handshakes, dict(admission.sources)) == (0, 0, {})


def test_newer_bounds_hold_for_those_who_come_and_the_places_taken_stay_taken():
    admission = Admission(Connections(maximum=10, per_source=10, ipv6_prefix=64))
    seats = [admission.enter() for _ in range(3)]
    assert all(seat.claim("2001:db8::1") for seat in seats)
    admission.renew(Connections(maximum=3, per_source=2, ipv6_prefix=48), ())
    assert admission.enter() is None
    for seat in seats:
        seat.leave()
    assert (admission.open, admission.handshakes, admission.sources) == (0, 0, {})
    assert admission.enter().claim("2001:db8::1")
