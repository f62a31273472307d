"""What the admin socket and the health listener serve."""

import asyncio

import msgspec
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes import FakeClock
from tests.observed import NOW, SERVER, ToldFleet, worker
from ztproxy.admin import pages
from ztproxy.observe.accepted import OPENMETRICS, PLAIN
from ztproxy.observe.fleet import FleetStatus, WorkerLine
from ztproxy.observe.status import encode


async def test_the_status_is_one_document_with_what_is_wrong():
    fleet = ToldFleet(worker(10), worker(11, server=replace(SERVER, healthy=False)))
    made = msgspec.json.decode(await pages.status(fleet, NOW), type=FleetStatus, strict=True)
    assert (made.format, made.at, len(made.workers)) == (1, NOW, 2)
    assert made.problems == ("route orders: http://10.0.0.5:8080 fails its health checks",)


async def test_a_worker_that_has_nothing_to_say_yet_is_left_out():
    fleet = ToldFleet(worker(10))
    fleet._told.append(b"")
    assert encode(worker(10)) in fleet._told
    made = await pages.status_of(fleet, NOW)
    assert len(made.listeners) == 1


async def test_metrics_tell_of_the_whole_too():
    lines = (WorkerLine(1, "ready", NOW, 2), WorkerLine(2, "dead", NOW, 1))
    fleet = ToldFleet(lines=lines)
    fleet.reload_failed("z.yaml:1:1: nonsense")
    body, media_type = await pages.metrics(fleet)
    assert media_type == PLAIN
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }
    assert samples["ztproxy_workers", "ready"] == samples["ztproxy_workers", "dead"] == 1
    assert samples["ztproxy_workers", "starting"] == 0
    assert samples["ztproxy_worker_restarts_total",] == 3
    assert samples["ztproxy_reloads_total", "ok"] == 2
    assert samples["ztproxy_reloads_total", "failed"] == 1
    assert samples["ztproxy_reload_failing",] == 1
    assert samples["ztproxy_reload_last_success_timestamp_seconds",] == NOW - 50
    _, media_type = await pages.metrics(fleet, "application/openmetrics-text")
    assert media_type == OPENMETRICS


async def test_however_many_ask_the_workers_are_asked_once_a_second():
    fleet, clock = ToldFleet(), FakeClock()
    asked = []
    snapshots = fleet.snapshots

    async def counted():
        asked.append(clock.now)
        await asyncio.sleep(0)
        return await snapshots()

    fleet.snapshots = counted
    page = pages.MetricsPage(fleet, clock)
    told = await asyncio.gather(*(page.read() for _ in range(50)))
    assert len(asked) == 1
    assert {kind for _, kind in told} == {PLAIN}
    clock.now += 0.9
    assert (await page.read())[0] == told[0][0]
    assert len(asked) == 1
    clock.now += 0.2
    await page.read("text/html")
    assert len(asked) == 2
    assert (await page.read("application/openmetrics-text;version=9"))[1] == OPENMETRICS
    await page.read("application/openmetrics-text")
    assert len(asked) == 3
