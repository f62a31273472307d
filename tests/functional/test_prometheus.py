"""Prometheus' own tools read what we write, and a real Prometheus scrapes the running program."""

import asyncio
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

from tests.functional.gateway import Gateway
from tests.functional.ports import free_port
from tests.functional.prometheus import Prometheus
from ztproxy.observe.catalogue import CATALOGUE

DEPLOYED = Path(__file__).parents[2] / "deploy" / "prometheus"
needs_prometheus = pytest.mark.skipif(
    not (shutil.which("promtool") and shutil.which("prometheus")), reason="apt-get install prometheus"
)
RULES = "[{key: source.address, rate: 1000/second}, {key: token.subject, rate: 1/hour, burst: 6, shadow: true}]"


def promtool(*arguments: str, given: bytes = b"") -> str:
    done = subprocess.run(["promtool", *arguments], input=given, capture_output=True, cwd=DEPLOYED, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


@needs_prometheus
@pytest.mark.slow
def test_the_scrape_configuration_and_the_alerts_are_valid():
    assert "SUCCESS" in promtool("check", "config", "prometheus.yml")
    assert "SUCCESS" in promtool("check", "rules", "alerts.yml")


@needs_prometheus
@pytest.mark.slow
def test_every_alert_fires_when_it_should_and_only_then():
    promtool("test", "rules", "alerts_test.yml")
    tested = (DEPLOYED / "alerts_test.yml").read_text()
    for line in (DEPLOYED / "alerts.yml").read_text().splitlines():
        if "- alert:" in line:
            assert f'alertname="{line.split()[-1]}"' in tested


@needs_prometheus
@pytest.mark.slow
def test_what_the_dashboard_and_the_document_ask_is_promql(tmp_path):
    dashboard = json.loads((DEPLOYED.parent / "grafana" / "ztproxy.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    asked = [one.replace("$__rate_interval", "1m") for one in asked]
    document = (DEPLOYED.parents[1] / "docs" / "observability.md").read_text().split("### Labels")[0]
    asked += re.findall(r"^\| [a-z][^|`]* \| `(.+)` \|$", document, re.MULTILINE)
    assert len(asked) > 30
    rules = [{"record": f"asked:{number}", "expr": one} for number, one in enumerate(asked)]
    (tmp_path / "asked.yml").write_text(json.dumps({"groups": [{"name": "asked", "rules": rules}]}))
    assert f"{len(asked)} rules found" in promtool("check", "rules", str(tmp_path / "asked.yml"))


@pytest.fixture
async def gateway(tmp_path):
    health = free_port()
    more = f"health: {{address: '127.0.0.1:{health}'}}\nadmin: {{address: 'unix:{tmp_path}/admin.sock'}}\nworkers: 2"
    async with Gateway(tmp_path, more=more, limits=f"{{storage: 'machine://', rules: {RULES}}}") as gateway:
        gateway.health = f"127.0.0.1:{health}"
        yield gateway


async def page(gateway: Any, accept: str = "") -> str:
    """From the admin socket, where it is made anew each time; the health listener's may be a second old."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(gateway.folder / "admin.sock"))) as session,
        session.get("http://localhost/metrics", headers={"Accept": accept}) as answer,
    ):
        assert answer.status == 200
        return await answer.text()


async def figures(gateway: Any) -> dict[tuple[str, ...], float]:
    """By name and labels' values; read as strictly as OpenMetrics asks for."""
    text = await page(gateway, "application/openmetrics-text")
    return {
        (sample.name, *(value for name, value in sorted(sample.labels.items()))): sample.value
        for family in read_openmetrics(text)
        for sample in family.samples
    }


async def ask(gateway: Any, times: int = 1, path: str = "/a", **claims: object) -> list[int]:
    """Requests over a connection each, so that both workers get some."""
    found = []
    for _ in range(times):
        async with gateway.session() as session, session.get(path, headers=gateway.bearer(**claims)) as answer:
            found.append(answer.status)
    return found


@needs_prometheus
@pytest.mark.slow
async def test_a_real_prometheus_reads_the_sums_of_both_workers(gateway, tmp_path):
    assert await ask(gateway, 20) == [200] * 20
    assert await ask(gateway, 5, "/secret") == [403] * 5
    promtool("check", "metrics", given=(await page(gateway)).encode())
    async with Prometheus(tmp_path, gateway.health) as prometheus:
        await prometheus.until('ztproxy_requests_total{route="app",method="GET",status="2xx"} == 20')
        await prometheus.until('ztproxy_requests_total{route="app",method="GET",status="4xx"} == 5')
        await prometheus.until('ztproxy_request_duration_seconds_count{route="app"} == 25')
        (refused,) = await prometheus.until('ztproxy_refusals_total{route="app"} > 0')
        assert (refused["metric"]["reason"], refused["value"][1]) == ("policy-denied", "5")
        await prometheus.until('ztproxy_workers{state="ready"} == 2')
        assert await ask(gateway, 10) == [200] * 10
        await prometheus.until('ztproxy_requests_total{route="app",method="GET",status="2xx"} == 30')


@pytest.mark.slow
async def test_figures_are_those_of_what_happened(gateway):
    await ask(gateway, 10)
    await ask(gateway, 2, "/secret")
    async with gateway.session(None) as session, session.get("/a", headers=gateway.bearer()) as answer:
        assert answer.status == 403
    found = await figures(gateway)
    assert found["ztproxy_decisions_total", "allow", "app"] == 10
    assert found["ztproxy_decisions_total", "deny", "app"] == 2
    assert found["ztproxy_refusals_total", "certificate-required", "app"] == 1
    assert found["ztproxy_refusals_total", "internal-error", "app"] == 0
    assert found["ztproxy_limit_charges_total", "source.address"] == 13
    assert found["ztproxy_limit_charges_total", "token.subject"] == 6
    assert found["ztproxy_limit_shadow_refusals_total", "token.subject"] == 6
    assert found["ztproxy_handshakes_total", "127.0.0.1:0", "completed"] == 13
    assert found["ztproxy_issuer_keys", gateway.issuer.issuer] == 1
    assert found["ztproxy_certificate_not_after_timestamp_seconds", "gateway.pem", "127.0.0.1:0", "listener"] > 1.7e9
    assert found["ztproxy_process_resident_memory_bytes", "1"] > 1e7
    assert found["ztproxy_process_resident_memory_bytes", "2"] > 1e7
    assert found["ztproxy_event_loop_lag_seconds_count",] > 0
    assert {name for name, *_ in found} <= {
        name + suffix for name in CATALOGUE for suffix in ("", "_bucket", "_sum", "_count")
    }


@pytest.mark.slow
async def test_no_client_makes_a_series(gateway):
    await ask(gateway)
    before = len(await figures(gateway))
    async with gateway.session() as session:
        for number in range(50):
            made_up = {"Host": f"h{number}.example", **gateway.bearer(sub=f"somebody-{number}")}
            async with session.request(f"MADE{number}", f"/p{number}?q={number}", headers=made_up) as answer:
                await answer.read()
    text = await page(gateway)
    assert not any(word in text for word in ("h49.example", "somebody-49", "MADE49", "/p49"))
    assert len(await figures(gateway)) - before < 60


@pytest.mark.slow
async def test_sums_do_not_fall_when_a_worker_dies(gateway):
    await ask(gateway, 20)
    assert (await figures(gateway))["ztproxy_requests_total", "GET", "app", "2xx"] == 20
    status = await shown(gateway)
    victim = status["workers"][0]["pid"]
    subprocess.run(["kill", "-KILL", str(victim)], check=True)
    async with asyncio.timeout(60):
        while (found := await figures(gateway)).get(("ztproxy_worker_restarts_total",)) != 1:
            assert found["ztproxy_requests_total", "GET", "app", "2xx"] == 20
        while found["ztproxy_workers", "ready"] != 2:
            found = await figures(gateway)
    await ask(gateway, 5)
    assert (await figures(gateway))["ztproxy_requests_total", "GET", "app", "2xx"] == 25


async def shown(gateway: Any, code: int = 0) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ztproxy", "status", "--json", "--config", str(gateway.folder / "z.yaml"),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode == code, said
    document: dict[str, Any] = json.loads(said)
    return document


@pytest.mark.slow
async def test_the_status_is_that_of_the_running_program(gateway):
    await ask(gateway, 4)
    status = await shown(gateway)
    assert status["problems"] == []
    assert [worker["state"] for worker in status["workers"]] == ["ready", "ready"]
    assert status["issuers"][0]["keys"] == 1
    assert status["listeners"][0]["accepted"] == 4
    assert {one["use"] for one in status["certificates"]} == {"listener", "authority"}
    (policy,) = status["policies"]
    assert policy["revision"] in {line["policy_revision"] for line in gateway.access_log()}


@pytest.mark.slow
async def test_a_reload_that_failed_is_a_problem_until_one_succeeds(gateway):
    rego = gateway.folder / "policies" / "authz.rego"
    good = rego.read_text()
    await ask(gateway, 3)
    rego.write_text("package ztproxy.authz\n\ndecision := nonsense\n")
    gateway.signal(signal.SIGHUP)
    async with asyncio.timeout(60):
        while (found := await figures(gateway))["ztproxy_reload_failing",] != 1:
            await asyncio.sleep(0.05)
    assert found["ztproxy_reloads_total", "failed"] == 1
    status = await shown(gateway, 1)
    assert "authz.rego:3" in status["problems"][0]
    rego.write_text(good)
    gateway.signal(signal.SIGHUP)
    async with asyncio.timeout(60):
        while (found := await figures(gateway))["ztproxy_reload_failing",] != 0:
            await asyncio.sleep(0.05)
    assert found["ztproxy_reloads_total", "ok"] == 1
    await ask(gateway, 3)
    assert (await figures(gateway))["ztproxy_requests_total", "GET", "app", "2xx"] == 6
    assert (await shown(gateway))["problems"] == []
