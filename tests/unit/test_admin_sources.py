"""What real parts say of themselves."""

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.listening import listener_settings, serving
from tests.pki import Authority
from ztproxy.admin.observed import Observed
from ztproxy.admin.sources import BasisOf, judging_of, listeners_of, queues_of, servers_of
from ztproxy.config.loading import parse
from ztproxy.observe import AccessLog, DecisionLog, Metrics
from ztproxy.observe import catalogue as series
from ztproxy.observe.snapshot import merge
from ztproxy.observe.status import MemoStatus, ProofsStatus, QueueStatus, StreamsStatus, decode
from ztproxy.parts import Parts, build

AUTHORITY = Authority.new("Clients")
TEXT = """\
version: 1
listeners:
  - address: 127.0.0.1:8443
    certificates: [{{certificate: gateway.pem, key: gateway.key}}]
    client_certificates: {{authorities: [ca.pem], mode: optional, crl: [ca.crl]}}
  - {{address: 127.0.0.1:8080, protocol: http}}
issuers: [{{issuer: "https://login.test", audiences: [a]}}]
policy: {{path: policies, {policy}}}
limits: {{rules: [{{key: source.address, rate: 10/second}}]}}
dpop: {{}}
routes:
  - name: orders
    hosts: ["*"]
    require: []
    upstream: {{servers: ["https://127.0.0.1:1"], tls: {{authorities: [ca.pem], certificate: a.pem, key: a.key}}}}
"""


SERVER = ("orders", "https://127.0.0.1:1")


def server_of(parts: Parts) -> Any:
    """Its only server."""
    (member,) = parts.upstreams.published["orders"].cluster.members
    return member


def made(folder: Path, rego: str = "decision := true", policy: str = "engine: embedded") -> Parts:
    AUTHORITY.server().write(folder, "gateway")
    AUTHORITY.issue("proxy").write(folder, "a")
    AUTHORITY.write(folder)
    (folder / "ca.crl").write_bytes(AUTHORITY.crl().public_bytes(Encoding.PEM))
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies" / "a.rego").write_text(f"package ztproxy.authz\n\n{rego}\n")
    return build(parse(TEXT.format(policy=policy), folder / "z.yaml"))


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
    assert (revocation.kind, "/" in revocation.source, revocation.failures) == ("list", False, 0)


async def test_no_path_of_a_file_is_told_to_metrics(parts, tmp_path):
    basis = BasisOf(parts, 5.0)(time.time())
    assert not any("/" in one.file for one in basis.certificates)


async def test_what_judging_has_counted(parts):
    parts.policy.memo.hits, parts.policy.memo.misses = 5, 2
    judging = judging_of(parts)
    assert judging.limits.storage == "memory"
    assert judging.limits.up is None
    assert judging.limits.charged == {"source.address": 0}
    assert judging.unchecked == {"127.0.0.1:8443": 0}
    assert judging.memo == MemoStatus(5, 2, 0)
    assert judging.proofs == ProofsStatus("memory", None, 0)


async def test_a_policy_of_which_nothing_is_remembered_has_no_memo(tmp_path):
    parts = made(tmp_path, "decision := http.send({}).status_code == 200", "allow_builtins: [http.send]")
    assert judging_of(parts).memo is None
    await parts.close()


async def test_a_server_that_is_left_out(parts):
    member = server_of(parts)
    member.pool.requests, member.retries, member.record.ejected_until = 10, 2, float("inf")
    (one,) = servers_of(parts.upstreams)
    assert (one.route, one.server) == SERVER
    assert (one.healthy, one.ejected, one.requests, one.retries, one.checks) == (True, True, 10, 2, 0)
    assert list(queues_of(parts.upstreams)) == [QueueStatus("orders", 0, 0, 0)]


async def test_listeners(tmp_path):
    async with serving(listener_settings(tmp_path, AUTHORITY)) as secure, serving() as plain:
        secure.listener.admission.refused["connections.maximum"] += 1
        found = list(listeners_of([secure.listener, plain.listener]))
    assert [(one.protocol, one.open, one.accepted) for one in found] == [("https", 0, 0), ("http", 0, 0)]
    assert found[0].address == "127.0.0.1:0" != found[0].bound
    assert found[0].refused == {"connections.maximum": 1}


class Workers:
    """One worker, and what its parts are."""

    def __init__(self, folder: Path) -> None:
        self.now = 1000.0
        self.observed = Observed(Metrics(), tuple, worker="1", wall=lambda: self.now)
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


async def test_a_worker_tells_status_and_metrics_alike(workers, parts):
    workers.observed.take_up(parts, workers.access, workers.decisions)
    parts.load.in_flight = 3
    parts.policy.memo.hits = 4
    status = decode(workers.observed.status())
    assert status.worker == "1"
    assert status.basis.policy.loaded_at == 1000.0
    assert status.servers[0].in_flight == workers.value(series.UPSTREAM_IN_FLIGHT, *SERVER) == 0
    assert status.judging.memo.hits == workers.value(series.MEMO_HITS) == 4
    assert status.load.in_flight == workers.value(series.IN_FLIGHT) == 3
    assert status.logs.decisions_healthy is True
    assert status.streams is None


async def test_over_reloads_nothing_is_counted_twice_and_nothing_is_forgotten(workers, parts, tmp_path):
    (tmp_path / "new").mkdir()
    newer = made(tmp_path / "new", "decision := false")
    old, new = server_of(parts), server_of(newer)
    old.pool.requests = 10  # there before anybody looked
    retired = workers.observed.take_up(parts, workers.access, workers.decisions)
    old.pool.requests, parts.policy.memo.hits = 25, 4
    parts.load.in_flight, parts.load.refused["overload.requests"] = 1, 2
    assert workers.value(series.UPSTREAM_REQUESTS, *SERVER) == 15

    new.adopt(old)
    workers.now = 2000.0
    workers.observed.take_up(newer, workers.access, workers.decisions)
    old.pool.requests = 26  # the last one under way
    new.pool.requests, newer.policy.memo.hits = 30, 1
    newer.load.in_flight, newer.load.refused["overload.requests"] = 2, 1
    assert workers.value(series.UPSTREAM_REQUESTS, *SERVER) == 16 + 5
    assert workers.value(series.MEMO_HITS) == 5
    assert workers.value(series.IN_FLIGHT) == 3
    assert workers.value(series.OVERLOAD_REFUSALS, "overload.requests") == 3
    assert workers.value(series.POLICY_INFO, "embedded", parts.engine.revision) is None
    assert workers.value(series.POLICY_INFO, "embedded", newer.engine.revision) == 1
    assert workers.value(series.POLICY_LOADED) == 2000.0

    retired()
    retired()
    assert workers.value(series.UPSTREAM_REQUESTS, *SERVER) == 16 + 5
    assert workers.value(series.IN_FLIGHT) == 2
    assert workers.value(series.OVERLOAD_REFUSALS, "overload.requests") == 3
    assert len(decode(workers.observed.status()).servers) == 1
    await newer.close()


async def test_a_load_that_is_handed_on_is_counted_once(workers, parts):
    newer = msgspec.structs.replace(parts, policy=parts.policy)
    retired = workers.observed.take_up(parts, workers.access, None)
    last = workers.observed.take_up(newer, workers.access, None)
    parts.load.in_flight, parts.load.refused["overload.requests"] = 2, 5
    for end in (lambda: None, retired):
        end()
        assert workers.value(series.IN_FLIGHT) == 2
        assert workers.value(series.OVERLOAD_REFUSALS, "overload.requests") == 5
    last()
    assert workers.value(series.IN_FLIGHT) is None
    assert workers.value(series.OVERLOAD_REFUSALS, "overload.requests") == 5


async def test_streams_are_told_where_there_is_a_registry(workers, parts):
    class Streams:
        open, opened, ended, refused = {"websocket": 1}, {"websocket": 3}, {"token-expired": 1}, 2

    observed = Observed(Metrics(), tuple, Streams())
    observed.take_up(parts, workers.access, None)
    assert decode(observed.status()).streams == StreamsStatus(
        {"websocket": 1}, {"websocket": 3}, {"token-expired": 1}, 2
    )
    assert merge([observed.snapshot()]).values[series.STREAMS.name] == {("websocket",): 1}


async def test_a_reload_that_leaves_the_policy_alone_does_not_make_it_younger(workers, parts):
    workers.observed.take_up(parts, workers.access, None)
    workers.now = 2000.0
    workers.observed.take_up(parts, workers.access, None)
    assert decode(workers.observed.status()).basis.policy.loaded_at == 1000.0
    assert workers.value(series.POLICY_LOADED) == 1000.0
