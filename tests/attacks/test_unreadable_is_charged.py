"""Claim: a request that cannot be read, or is misdirected, costs its sender's bucket as much as any other."""

import asyncio

from tests.edge import Edge, get
from ztproxy.config.settings import Settings
from ztproxy.limits import Limits
from ztproxy.model import Connection, Reason, Refusal, Refused, Tls

OVER_TLS = Connection("l", "https", "192.0.2.7", 1, 8443, Tls("TLSv1.3", "TLS_AES_128_GCM_SHA256", "a.example"))


def limited(rate: str = "2/hour", burst: int = 2) -> Limits:
    return Limits.build(
        Settings.model_validate(
            {
                "version": 1,
                "listeners": [{"address": "127.0.0.1:0", "protocol": "http"}],
                "limits": {"rules": [{"key": "source.address", "rate": rate, "burst": burst}]},
                "routes": [
                    {"name": "r", "hosts": ["*"], "require": [], "upstream": {"servers": ["http://127.0.0.1:1"]}}
                ],
            }
        )
    )


async def test_misdirected_requests_run_into_the_limit():
    edge = Edge(connection=OVER_TLS, charge=limited().charge_source)
    answers = [edge.send(get(host=b"b.example")).split(b" ")[1] for _ in range(4)]
    assert answers == [b"421", b"421", b"429", b"429"]
    assert edge.told.refusal.reason is Reason.RATE_LIMITED
    assert not edge.wire.closed


async def test_malformed_ones_do_too_over_many_connections():
    edge = Edge(connection=OVER_TLS, charge=limited().charge_source)
    answers = []
    for _ in range(3):
        answers.append(edge.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").split(b" ")[1])
        assert edge.wire.closed
        edge.connect()
    assert answers == [b"400", b"400", b"429"]


async def test_the_bucket_is_the_same_as_that_of_good_requests():
    limits = limited()

    async def pipeline(arrived):
        refusal = await limits.charge_source(arrived)
        return Refused(refusal or Refusal(Reason.POLICY_DENIED), arrived)

    edge = Edge(pipeline, connection=OVER_TLS, charge=limits.charge_source)
    assert edge.send(get(host=b"b.example")).startswith(b"HTTP/1.1 421")
    assert edge.send(get()).startswith(b"HTTP/1.1 403")
    assert edge.send(get()).startswith(b"HTTP/1.1 429")
    assert edge.send(get(host=b"b.example")).startswith(b"HTTP/1.1 429")


async def test_a_storage_that_takes_its_time_is_waited_for():
    async def charge(_arrived):
        await asyncio.sleep(0)

    edge = Edge(charge=charge)
    edge.send(b"GET / HTTP/1.1\r\n\r\n")
    async with asyncio.timeout(5):
        while not edge.wire.closed:
            await asyncio.sleep(0)
    assert edge.wire.taken().startswith(b"HTTP/1.1 400 ")
