"""Who is fit, who is next, who must wait: with a clock that moves when told."""

import random

import pytest

from tests.fakes import FakeClock
from tests.raw_server import settings
from ztproxy.upstream.cluster import Cluster
from ztproxy.upstream.member import Member
from ztproxy.upstream.pool import Pool


class FakeLoop:
    """Keeps what is put off."""

    def __init__(self) -> None:
        self.time = FakeClock(1000.0)
        self.soon = []

    def call_soon(self, do) -> None:
        self.soon.append(do)

    def turn(self) -> None:
        soon, self.soon = self.soon, []
        for do in soon:
            do()


class Waiting:
    """Stands in a queue."""

    key = 0
    preferred = None

    def __init__(self) -> None:
        self.member = None
        self.gave_up = False

    def proceed(self, member) -> None:
        self.member = member

    def give_up(self) -> None:
        self.gave_up = True


def take(member: Member) -> None:
    member.in_flight += 1


def give_back(cluster: Cluster, member: Member) -> None:
    member.in_flight -= 1
    cluster.make_room()


@pytest.fixture
def loop():
    return FakeLoop()


@pytest.fixture
def build(loop):
    def of(*servers, **upstream):
        named = servers or tuple(f"http://10.0.0.{number}:80" for number in range(1, 4))
        config = settings(*named, **upstream).routes[0].upstream
        members = [
            Member(index, server, config, Pool(server.url, config, None, lambda: None))
            for index, server in enumerate(config.weighted)
        ]
        return Cluster("app", config, members, loop, random.Random(1).random)

    return of


def fail(cluster: Cluster, member: Member, now: float, times: int = 5) -> None:
    for _ in range(times):
        cluster.failed(member, now)


def fit(cluster: Cluster, now: float) -> list[int]:
    return [member.index for member in cluster.fit(now)]


def test_one_that_fails_too_often_is_left_out_for_a_while(build, caplog):
    cluster = build()
    fail(cluster, cluster.members[1], 1000.0)
    assert fit(cluster, 1000.0) == [0, 2]
    assert fit(cluster, 1029.9) == [0, 2]
    assert fit(cluster, 1030.0) == [0, 1, 2]
    assert "http://10.0.0.2:80 failed too often and is left out for 30 s" in caplog.text


def test_never_more_than_a_share_of_them(build):
    cluster = build()
    for member in cluster.members:
        fail(cluster, member, 1000.0)
    assert fit(cluster, 1000.0) == [1, 2]


def test_all_of_them_where_that_is_configured(build):
    cluster = build(outliers={"maximum_ejected": 100})
    for member in cluster.members:
        fail(cluster, member, 1000.0)
    assert fit(cluster, 1000.0) == []
    assert cluster.pick(0, 1000.0) is None


def test_one_server_alone_is_never_left_out(build):
    cluster = build("http://10.0.0.1:80")
    fail(cluster, cluster.members[0], 1000.0)
    assert fit(cluster, 1000.0) == [0]


def test_gateway_errors_are_enough_where_configured(build):
    cluster = build(outliers={"gateway_errors": 2})
    for _ in range(2):
        cluster.answered(cluster.members[0], 503, 1000.0)
    assert fit(cluster, 1000.0) == [1, 2]


def test_those_that_were_tried_are_not_tried_again(build):
    cluster = build()
    first, second, third = cluster.members
    assert cluster.pick(0, 0.0, tried=(first, third)) is second
    assert cluster.pick(0, 0.0, tried=(first, second, third)) is None


def test_one_that_is_preferred_is_taken_while_it_may_be(build):
    cluster = build(maximum_requests=1)
    third = cluster.members[2]
    assert [cluster.pick(0, 1000.0, preferred=third) for _ in range(3)] == [third] * 3
    take(third)
    assert cluster.pick(0, 1000.0, preferred=third) is not third
    give_back(cluster, third)
    fail(cluster, third, 1000.0)
    assert cluster.pick(0, 1000.0, preferred=third) is not third


def test_a_server_that_comes_back_starts_slowly(build):
    cluster = build(slow_start="10s")
    assert [member.ramp for member in cluster.fit(1000.0)] == [1.0, 1.0, 1.0]
    fail(cluster, cluster.members[0], 1000.0)
    ramps = []
    for now in (1030.0, 1032.5, 1035.0, 1040.0, 1050.0):
        cluster.fit(now)
        ramps.append(cluster.members[0].ramp)
    assert ramps == [0.1, 0.25, 0.5, 1.0, 1.0]


def test_each_has_a_bounded_number_in_flight(build):
    cluster = build(maximum_requests=2, maximum_connections=5)
    taken = []
    while (member := cluster.pick(0, 1000.0)) is not None:
        take(member)
        taken.append(member.index)
    assert sorted(taken) == [0, 0, 1, 1, 2, 2]


def test_the_lower_limit_counts(build):
    cluster = build("http://10.0.0.1:80", maximum_requests=5, maximum_connections=1)
    take(cluster.pick(0, 1000.0))
    assert cluster.pick(0, 1000.0) is None


def test_who_waits_goes_in_turn_as_soon_as_there_is_room(build, loop):
    cluster = build("http://10.0.0.1:80", maximum_requests=1)
    only = cluster.members[0]
    take(only)
    first, second = Waiting(), Waiting()
    assert cluster.wait(first)
    assert cluster.wait(second)
    give_back(cluster, only)
    first.proceed = lambda member: take(member) or setattr(first, "member", member)
    loop.turn()
    assert (first.member, second.member) == (only, None)
    give_back(cluster, only)
    loop.turn()
    assert second.member is only
    assert not cluster.queue


def test_the_queue_is_bounded(build):
    cluster = build(queue={"length": 1}, maximum_requests=1)
    assert cluster.wait(Waiting())
    assert not cluster.wait(Waiting())


def test_who_left_is_not_called(build, loop):
    cluster = build("http://10.0.0.1:80", maximum_requests=1)
    only, waiting = cluster.members[0], Waiting()
    take(only)
    cluster.wait(waiting)
    cluster.leave(waiting)
    give_back(cluster, only)
    loop.turn()
    assert waiting.member is None


def test_nobody_waits_for_servers_that_are_all_away(build, loop):
    cluster = build(outliers={"maximum_ejected": 100, "failures": 1})
    waiting = Waiting()
    cluster.wait(waiting)
    for member in cluster.members:
        cluster.failed(member, 1000.0)
    loop.turn()
    assert waiting.gave_up
