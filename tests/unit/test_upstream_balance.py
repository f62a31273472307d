"""Ways to choose a server: shares follow weights, the busy are spared, keys keep their server."""

import random
from collections import Counter
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztproxy.upstream.balance import (
    ConsistentHash,
    LeastRequests,
    RoundRobin,
    WeightedLeastRequests,
    WeightedRoundRobin,
    balancer,
)
from ztproxy.upstream.hashing import hashed


class Server(NamedTuple):
    index: int
    weight: int = 1
    ramp: float = 1.0
    in_flight: int = 0


def servers(*weights: int) -> list[Server]:
    return [Server(index, weight) for index, weight in enumerate(weights)]


def named(*weights: int) -> list[tuple[str, int]]:
    return [(f"http://10.0.0.{index}:80", weight) for index, weight in enumerate(weights)]


def test_round_robin_takes_turns():
    one = RoundRobin()
    assert [one.pick(servers(1, 1, 1), 0).index for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def test_round_robin_goes_on_with_those_that_are_left():
    one = RoundRobin()
    three = servers(1, 1, 1)
    one.pick(three, 0)
    assert {one.pick(three[:2], 0).index for _ in range(2)} == {0, 1}


def test_weights_are_shares_and_spread_evenly():
    one = WeightedRoundRobin()
    picked = [one.pick(servers(5, 1, 1), 0).index for _ in range(7)]
    assert picked == [0, 0, 1, 0, 2, 0, 0]  # as nginx documents it


@given(st.lists(st.integers(1, 20), min_size=1, max_size=6))
def test_over_a_round_each_gets_exactly_its_weight(weights):
    one = WeightedRoundRobin()
    counted = Counter(one.pick(servers(*weights), 0).index for _ in range(sum(weights)))
    assert [counted[index] for index in range(len(weights))] == weights


def test_a_server_that_starts_slowly_gets_less():
    one = WeightedRoundRobin()
    counted = Counter(one.pick([Server(0), Server(1, ramp=0.25)], 0).index for _ in range(100))
    assert counted == {0: 80, 1: 20}


@pytest.mark.parametrize("kind", [LeastRequests, WeightedLeastRequests])
def test_the_less_busy_of_two_is_taken(kind):
    one = kind(random.Random(1).random)
    busy, free = Server(0, in_flight=9), Server(1)
    assert {one.pick([busy, free], 0) for _ in range(50)} == {free}


def test_busy_is_measured_by_weight():
    one = WeightedLeastRequests(random.Random(1).random)
    large, small = Server(0, weight=10, in_flight=9), Server(1, in_flight=1)
    assert {one.pick([large, small], 0) for _ in range(50)} == {large}


def test_where_nobody_is_busy_weights_are_shares():
    one = WeightedLeastRequests(random.Random(1).random)
    counted = Counter(one.pick(servers(3, 1), 0).index for _ in range(4000))
    assert 2800 < counted[0] < 3200


def test_where_nobody_is_busy_all_are_drawn_alike():
    one = LeastRequests(random.Random(1).random)
    counted = Counter(one.pick(servers(1, 1, 1), 0).index for _ in range(3000))
    assert all(900 < count < 1100 for count in counted.values())


@pytest.mark.parametrize("kind", [LeastRequests, WeightedLeastRequests])
def test_the_busiest_of_all_is_never_taken_from_three(kind):
    one = kind(random.Random(1).random)
    three = [Server(0, in_flight=3), Server(1, in_flight=2), Server(2, in_flight=1)]
    assert {one.pick(three, 0).index for _ in range(200)} == {1, 2}


@pytest.mark.parametrize("drawn", [0.0, 0.999999999999])
def test_any_number_drawn_chooses_one(drawn):
    for kind in (LeastRequests, WeightedLeastRequests):
        assert kind(lambda: drawn).pick(servers(1, 2, 3), 0).index in range(3)
        assert kind(lambda: drawn).pick(servers(7), 0).index == 0


KEYS = [hashed(f"user {number}") for number in range(3000)]


def placed(one: ConsistentHash, fit: list[Server]) -> list[int]:
    return [one.pick(fit, key).index for key in KEYS]


def test_a_key_keeps_its_server():
    one, other = ConsistentHash(named(1, 1, 1)), ConsistentHash(named(1, 1, 1))
    assert placed(one, servers(1, 1, 1)) == placed(other, servers(1, 1, 1))


def test_a_server_that_goes_moves_its_own_keys_alone():
    one = ConsistentHash(named(1, 1, 1, 1))
    four = servers(1, 1, 1, 1)
    before, without = placed(one, four), placed(one, four[:2] + four[3:])
    moved = [was for was, now in zip(before, without, strict=True) if was != now]
    assert set(moved) == {2}
    assert len(moved) == before.count(2)
    assert Counter(now for was, now in zip(before, without, strict=True) if was == 2).keys() == {0, 1, 3}
    assert placed(one, four) == before


def test_a_server_that_is_added_takes_keys_and_moves_no_others():
    before = placed(ConsistentHash(named(1, 1, 1)), servers(1, 1, 1))
    after = placed(ConsistentHash(named(1, 1, 1, 1)), servers(1, 1, 1, 1))
    assert {now for was, now in zip(before, after, strict=True) if was != now} == {3}
    assert 0.15 < after.count(3) / len(KEYS) < 0.35


def test_weights_are_shares_of_the_keys():
    counted = Counter(placed(ConsistentHash(named(1, 3)), servers(1, 3)))
    assert 0.65 < counted[1] / len(KEYS) < 0.85


def test_a_server_that_starts_slowly_takes_its_keys_back_each_once():
    one = ConsistentHash(named(1, 1, 1))
    whole = placed(one, servers(1, 1, 1))
    held: set[int] = set()
    for ramp in (0.1, 0.3, 0.6, 1.0):
        now = placed(one, [Server(0), Server(1, ramp=ramp), Server(2)])
        holds = {key for key, index in zip(KEYS, now, strict=True) if index == 1}
        assert held <= holds
        held = holds
    assert held == {key for key, index in zip(KEYS, whole, strict=True) if index == 1}


def test_a_server_that_starts_slowly_and_is_alone_gets_all():
    one = ConsistentHash(named(1, 1))
    assert set(placed(one, [Server(1, ramp=0.1)])) == {1}


@pytest.mark.parametrize(
    ("name", "weights", "slowly", "kind"),
    [
        ("round_robin", (1, 1), False, RoundRobin),
        ("round_robin", (4, 4), False, RoundRobin),
        ("round_robin", (1, 2), False, WeightedRoundRobin),
        ("round_robin", (1, 1), True, WeightedRoundRobin),
        ("least_requests", (1, 1), False, LeastRequests),
        ("least_requests", (1, 2), False, WeightedLeastRequests),
        ("least_requests", (1, 1), True, WeightedLeastRequests),
        ("consistent_hash(token.subject)", (1, 1), False, ConsistentHash),
    ],
)
def test_what_balance_names(name, weights, slowly, kind):
    assert type(balancer(name, named(*weights), starts_slowly=slowly, random=random.random)) is kind
