"""What a listener's connections share, the one timer of each, and their request ids."""

import asyncio
from math import inf

from tests.edge import get
from tests.fakes import PEER, FakeClock, FakeWire, RecordingForward, RecordingPipeline, Told
from ztproxy.config.settings import Settings
from ztproxy.edge.cleaning import Cleaning
from ztproxy.edge.deadline import Deadline
from ztproxy.edge.http1 import Http1
from ztproxy.edge.request_ids import RequestIds
from ztproxy.edge.site import Site


def configured(**listener) -> Settings:
    return Settings.model_validate(
        {
            "version": 1,
            "listeners": [{"address": "127.0.0.1:8080", "protocol": "http", **listener}],
            "routes": [
                {
                    "name": "r",
                    "hosts": ["*"],
                    "require": [],
                    "upstream": {"servers": ["http://127.0.0.1:1"]},
                    "policy_headers": ["X-Team"],
                    "keep_headers": ["X-Client-Ip"],
                }
            ],
        }
    )


async def serve(settings: Settings, pipeline: RecordingPipeline, octets: bytes) -> bytes:
    site = Site.build(
        settings.listeners[0],
        settings,
        Cleaning.build(settings),
        pipeline=pipeline,
        forward=RecordingForward(),
        finished=Told(),
    )
    wire, http = FakeWire(), Http1(site)
    http.connected(wire, PEER)
    http.received(octets)
    await asyncio.sleep(0)
    return wire.taken()


async def test_a_site_is_built_as_configured():
    pipeline = RecordingPipeline()
    lines = b"X-Team: a", b"x_team: b", b"X-Client-Ip: c", b"X-Forwarded-For: 203.0.113.9"
    assert (await serve(configured(trusted_proxies=["192.0.2.0/24"]), pipeline, get(b"/", *lines))).startswith(
        b"HTTP/1.1 200 "
    )
    assert pipeline.arrived[0].fields == ((b"x-client-ip", b"c"),)
    assert pipeline.arrived[0].source == "203.0.113.9"


async def test_a_redirecting_listener_asks_no_pipeline():
    pipeline = RecordingPipeline()
    answer = await serve(configured(redirect_to_https=True, redirect_port=8443), pipeline, get(b"/x"))
    assert b"location: https://a.example:8443/x\r\n" in answer
    assert not pipeline.arrived


async def test_a_deadline_that_moves_later_needs_no_new_timer():
    clock, expired = FakeClock(), []
    deadline = Deadline(asyncio.get_running_loop(), clock, lambda: expired.append(clock.now))
    deadline.within(10)
    timer = deadline._timer
    deadline.within(20)
    deadline.at += 5
    assert deadline._timer is timer
    deadline.within(5)
    assert timer.cancelled()
    clock.now += 4
    deadline.fired()
    assert not expired
    clock.now += 2
    deadline.fired()
    assert len(expired) == 1
    assert deadline.at == inf
    deadline.within(1)
    deadline.stop()
    assert deadline._timer is None


def test_request_ids_are_128_bits_in_hex():
    octets = iter(range(10_000))
    ids = RequestIds(lambda count: bytes(next(octets) % 256 for _ in range(count)))
    made = [ids() for _ in range(300)]
    assert made[:2] == ["000102030405060708090a0b0c0d0e0f", "101112131415161718191a1b1c1d1e1f"]
    assert all(len(one) == 32 for one in made)
    assert len({RequestIds()() for _ in range(10)}) == 10
