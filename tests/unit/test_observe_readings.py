"""The status read as figures."""

from msgspec.structs import replace

from tests.observed import ISSUER, LIMITS, NOW, REVOCATION, SERVER, worker
from ztproxy.observe import catalogue as series
from ztproxy.observe import readings
from ztproxy.observe.snapshot import Snapshot
from ztproxy.observe.status import IntrospectionStatus, ProofsStatus


def told(found):
    snapshot = Snapshot()
    for reading in found:
        snapshot.take(reading)
    return {name.removeprefix("ztproxy_"): values for name, values in snapshot.values.items()}


def test_the_basis():
    assert told(readings.of_basis(worker().basis, NOW)) == {
        "policy_info": {("embedded", "a" * 64): 1},
        "policy_loaded_timestamp_seconds": {(): NOW - 3600},
        "issuer_keys": {("https://login.test",): 2},
        "issuer_fetch_failures": {("https://login.test",): 0},
        "issuer_keys_age_seconds": {("https://login.test",): 60},
        "certificate_not_after_timestamp_seconds": {("listener", "0.0.0.0:8443", "gateway.pem"): NOW + 90 * 86400},
        "revocation_list_next_update_timestamp_seconds": {("0.0.0.0:8443", "CN=Clients", "ca.crl"): NOW + 86400},
        "revocation_age_seconds": {("0.0.0.0:8443", "CN=Clients", "ca.crl"): 86400},
        "revocation_fetch_failures": {("0.0.0.0:8443", "CN=Clients", "ca.crl"): 0},
    }


def test_keys_that_were_never_fetched_have_no_age_and_a_list_without_an_end_is_over():
    basis = worker(
        issuer=replace(ISSUER, keys=0, fetched_at=None), revocation=replace(REVOCATION, next_update=None)
    ).basis
    found = told(readings.of_basis(basis, NOW))
    assert "issuer_keys_age_seconds" not in found
    assert found["issuer_keys"] == {("https://login.test",): 0}
    assert list(found["revocation_list_next_update_timestamp_seconds"].values()) == [0]


def test_a_list_that_was_never_had_has_no_age_and_ocsp_has_no_end():
    never = worker(revocation=replace(REVOCATION, this_update=None, next_update=None, failures=3)).basis
    found = told(readings.of_basis(never, NOW))
    assert "revocation_age_seconds" not in found
    assert list(found["revocation_list_next_update_timestamp_seconds"].values()) == [0]
    assert list(found["revocation_fetch_failures"].values()) == [3]
    ocsp = worker(revocation=replace(REVOCATION, kind="ocsp", source="OCSP", next_update=None)).basis
    found = told(readings.of_basis(ocsp, NOW))
    assert "revocation_list_next_update_timestamp_seconds" not in found
    assert found["revocation_age_seconds"] == {("0.0.0.0:8443", "CN=Clients", "OCSP"): 86400}


def test_what_was_known_late_and_questions_are_counted():
    judging = replace(worker().judging, late={"0.0.0.0:8443": 4}, ocsp={"answered": 2, "failed": 1, "left_out": 0})
    found = told(readings.of_judging(judging))
    assert found["revocation_late_total"] == {("0.0.0.0:8443",): 4}
    assert found["ocsp_questions_total"] == {("answered",): 2, ("failed",): 1, ("left_out",): 0}


def test_judging_and_servers():
    assert told(readings.of_judging(worker().judging)) == {
        "limit_charges_total": {("token.subject",): 90},
        "limit_shadow_refusals_total": {("route",): 4},
        "limit_buckets": {(): 5},
        "limit_storage_up": {(): 1},
        "revocation_unchecked_total": {("0.0.0.0:8443",): 7},
        "memo_hits_total": {(): 30},
        "memo_misses_total": {(): 10},
        "memo_entries": {(): 8},
    }
    assert "limit_storage_up" not in told(readings.of_judging(worker(limits=replace(LIMITS, up=None)).judging))
    shared = replace(worker().judging, proofs=ProofsStatus("redis", up=False, kept=None))
    own = replace(worker().judging, proofs=ProofsStatus("memory", up=None, kept=12))
    assert told(readings.of_judging(shared))["proof_store_up"] == {(): 0}
    assert told(readings.of_judging(own))["proofs"] == {(): 12}
    of = ("orders", "http://10.0.0.5:8080")
    found = told(readings.of_servers([replace(SERVER, healthy=False)]))
    assert {name: values[of] for name, values in found.items()} == {
        "upstream_requests_total": 100,
        "upstream_failures_total": 2,
        "upstream_retries_total": 1,
        "upstream_checks_total": 50,
        "upstream_requests_in_flight": 1,
        "upstream_connections": 4,
        "upstream_idle_connections": 3,
        "upstream_healthy": 0,
        "upstream_ejected": 0,
    }


def test_listeners_load_and_logs():
    one = worker()
    found = told([*readings.of_listeners(one.listeners), *readings.of_load(one.load), *readings.of_logs(one.logs)])
    assert found == {
        "connections": {("0.0.0.0:8443",): 12},
        "connections_accepted_total": {("0.0.0.0:8443",): 40},
        "connections_refused_total": {("0.0.0.0:8443", "connections.maximum"): 5},
        "handshakes_in_progress": {("0.0.0.0:8443",): 1},
        "handshakes_total": {("0.0.0.0:8443", "completed"): 39},
        "requests_in_flight": {(): 3},
        "overloaded": {(): 0},
        "overload_refusals_total": {("overload.requests",): 1},
        "log_lost_total": {("access",): 0, ("decisions",): 0},
    }
    assert told(readings.of_queues(one.queues)) == {
        "upstream_queued": {("orders",): 2},
        "upstream_queue_refusals_total": {("orders",): 3},
        "upstream_retries_denied_total": {("orders",): 4},
    }
    assert told(readings.of_streams(one.streams)) == {
        "streams": {("websocket",): 2},
        "streams_opened_total": {("websocket",): 9},
        "streams_ended_total": {("token-expired",): 1},
        "streams_refused_total": {(): 3},
    }
    plain = replace(one.listeners[0], protocol="http")
    assert series.HANDSHAKES.name not in told(readings.of_listeners([plain]))


def test_who_is_asked_about_tokens_and_what_came_of_it():
    one = IntrospectionStatus("https://a.test", 2, {"active": 5, "failed": 1}, "away")
    found = told(readings.of_judging(replace(worker().judging, introspection=(one,))))
    assert found["introspections_waiting"] == {("https://a.test",): 2}
    assert found["introspections_total"] == {("https://a.test", "active"): 5, ("https://a.test", "failed"): 1}
