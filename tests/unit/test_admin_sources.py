"""What real parts say of themselves."""

import time
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.listening import listener_settings, serving
from tests.pki import Authority
from ztproxy.admin.observed import Observed
from ztproxy.admin.sources import BasisOf, judging_of, listeners_of, servers_of
from ztproxy.config.loading import parse
from ztproxy.observe import AccessLog, DecisionLog, Metrics
from ztproxy.observe import catalogue as series
from ztproxy.observe.snapshot import merge
from ztproxy.observe.status import LoadStatus, decode
from ztproxy.parts import Parts, build

AUTHORITY = Authority.new("Clients")
TEXT = """\
version: 1
listeners:
  - address: 127.0.0.1:8443
    certificates: [{certificate: gateway.pem, key: gateway.key}]
    client_certificates: {authorities: [ca.pem], mode: optional, crl: [ca.crl]}
  - {address: 127.0.0.1:8080, protocol: http}
issuers: [{issuer: "https://login.test", audiences: [a]}]
policy: {path: policies}
limits: {rules: [{key: source.address, rate: 10/second}]}
routes:
  - name: orders
    hosts: ["*"]
    require: []
    upstream: {servers: ["https://127.0.0.1:1"], tls: {authorities: [ca.pem], certificate: a.pem, key: a.key}}
"""


class View(msgspec.Struct):
    """As `upstream/` gives it."""

    route: str = "orders"
    server: str = "https://127.0.0.1:1"
    healthy: bool = True
    ejected_until: float | None = None
    in_flight: int = 1
    connections: int = 2
    idle: int = 1
    requests: int = 10
    failures: int = 0
    retries: int = 0


class Memo(msgspec.Struct):
    """As `policy/` counts."""

    hits: int = 5
    misses: int = 2
    entries: int = 2


def made(folder: Path, rego: str = "decision := true") -> Parts:
    AUTHORITY.server().write(folder, "gateway")
    AUTHORITY.issue("proxy").write(folder, "a")
    AUTHORITY.write(folder)
    (folder / "ca.crl").write_bytes(AUTHORITY.crl().public_bytes(Encoding.PEM))
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies" / "a.rego").write_text(f"package ztproxy.authz\n\n{rego}\n")
    return build(parse(TEXT, folder / "z.yaml"))


@pytest.fixture
async def parts(tmp_path):
    parts = made(tmp_path)
    yield parts
    await parts.close()


async def test_the_basis_of_decisions(parts):
    now = time.time()
    basis = BasisOf(parts, 5.0)(now)
    assert basis.policy.revision == parts.engine.revision
    assert (basis.policy.engine, basis.policy.loaded_at) == ("embedded", 5.0)
    (issuer,) = basis.issuers
    assert (issuer.issuer, issuer.keys, issuer.fetched_at, issuer.good_until) == ("https://login.test", 0, None, None)
    assert [(one.use, one.name, one.file) for one in basis.certificates] == [
        ("authority", "127.0.0.1:8443", "ca.pem"),
        ("listener", "127.0.0.1:8443", "gateway.pem"),
        ("upstream", "orders", "a.pem"),
    ]
    assert all(one.not_after > now for one in basis.certificates)
    (revocation,) = basis.revocation
    assert (revocation.listener, revocation.authority) == ("127.0.0.1:8443", "CN=Clients")
    assert revocation.this_update <= now < revocation.next_update


async def test_no_path_of_a_file_is_told_to_metrics(parts, tmp_path):
    basis = BasisOf(parts, 5.0)(time.time())
    assert not any("/" in one.file for one in basis.certificates)


async def test_what_judging_has_counted(parts):
    judging = judging_of(parts, Memo())
    assert judging.limits.storage == "memory"
    assert judging.limits.up is None
    assert judging.limits.charged == {"source.address": 0}
    assert judging.unchecked == {"127.0.0.1:8443": 0}
    assert judging.memo == msgspec.convert({"hits": 5, "misses": 2, "entries": 2}, type(judging.memo))
    assert judging_of(parts, None).memo is None


def test_a_server_that_is_left_out():
    (one,) = servers_of([View(ejected_until=77.0)])
    assert (one.ejected, one.healthy, one.requests) == (True, True, 10)


async def test_listeners(tmp_path):
    async with serving(listener_settings(tmp_path, AUTHORITY)) as secure, serving() as plain:
        found = list(listeners_of([secure.listener, plain.listener]))
    assert [(one.protocol, one.open, one.accepted) for one in found] == [("https", 0, 0), ("http", 0, 0)]
    assert found[0].address == "127.0.0.1:0" != found[0].bound


class Workers:
    """One worker, and what its parts are."""

    def __init__(self, folder: Path) -> None:
        self.load = LoadStatus(2, False, {}, {})
        self.now = 1000.0
        self.observed = Observed(Metrics(), tuple, lambda: self.load, worker="1", wall=lambda: self.now)
        self.access = AccessLog(None)
        self.decisions = DecisionLog.open(folder / "d.db", required=False, entrypoint="x")

    def value(self, of, *labels):
        return merge([self.observed.snapshot()]).values.get(of.name, {}).get(labels)


@pytest.fixture
def workers(tmp_path):
    workers = Workers(tmp_path)
    yield workers
    workers.decisions.close()


async def test_before_anything_serves_there_is_a_process_and_no_status(workers):
    assert workers.observed.status() == b""
    assert workers.value(series.STARTED, "1") == 1000.0
    assert workers.value(series.IN_FLIGHT) == 2


async def test_a_worker_tells_status_and_metrics_alike(workers, parts):
    workers.observed.take_up(parts, workers.access, workers.decisions, memo=Memo(), servers=lambda: [View()])
    status = decode(workers.observed.status())
    assert status.worker == "1"
    assert status.basis.policy.loaded_at == 1000.0
    assert status.servers[0].in_flight == workers.value(series.UPSTREAM_IN_FLIGHT, "orders", "https://127.0.0.1:1") == 1
    assert status.judging.memo.entries == workers.value(series.MEMO_ENTRIES) == 2
    assert status.logs.decisions_healthy is True
    assert status.load == workers.load


async def test_over_reloads_nothing_is_counted_twice_and_nothing_is_forgotten(workers, parts, tmp_path):
    (tmp_path / "new").mkdir()
    newer = made(tmp_path / "new", "decision := false")
    views = [View()]
    memo = Memo()
    retired = workers.observed.take_up(parts, workers.access, workers.decisions, memo=memo, servers=lambda: views)
    of = ("orders", "https://127.0.0.1:1")
    views[0].requests = 25  # ten were there before anybody looked
    memo.hits = 9
    assert workers.value(series.UPSTREAM_REQUESTS, *of) == 15

    later = [View(in_flight=0, requests=25)]  # takes its counts over
    workers.now = 2000.0
    workers.observed.take_up(newer, workers.access, workers.decisions, memo=Memo(hits=0), servers=lambda: later)
    views[0].requests, views[0].in_flight = 26, 1  # the last one under way
    later[0].requests = 30
    assert workers.value(series.UPSTREAM_REQUESTS, *of) == 16 + 5
    assert workers.value(series.UPSTREAM_IN_FLIGHT, *of) == 1
    assert workers.value(series.MEMO_HITS) == 4
    assert workers.value(series.POLICY_INFO, "embedded", parts.engine.revision) is None
    assert workers.value(series.POLICY_INFO, "embedded", newer.engine.revision) == 1

    retired()
    retired()
    assert workers.value(series.UPSTREAM_REQUESTS, *of) == 16 + 5
    assert workers.value(series.UPSTREAM_IN_FLIGHT, *of) == 0
    assert len(decode(workers.observed.status()).servers) == 1
    await newer.close()


async def test_a_reload_that_leaves_the_policy_alone_does_not_make_it_younger(workers, parts):
    workers.observed.take_up(parts, workers.access, None)
    workers.now = 2000.0
    workers.observed.take_up(parts, workers.access, None)
    assert decode(workers.observed.status()).basis.policy.loaded_at == 1000.0
    assert workers.value(series.POLICY_LOADED) == 1000.0
