"""A server that is known by its SPIFFE ID is that workload, by the word of its own trust domain, or gets no request."""

import ssl

import pytest

from tests.pki import CLIENT, DAY, SERVER, now
from tests.raw_server import RecordingClient, Scene, always, and_wait, authorized, exchange
from tests.workloads import BOTH, Domain, workload
from ztproxy.model import Reason
from ztproxy.spiffe.errors import SpiffeError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PROD, PARTNER, STRANGER = Domain("prod.example"), Domain("partner.example"), Domain("stranger.example")
ORDERS = ["spiffe://prod.example/ns/shop/*"]


@pytest.fixture
async def scene():
    async with Scene() as scene:
        yield scene


def serving(leaf, folder, *clients):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*leaf.write(folder, f"server-{leaf.fingerprint[:8]}"))
    for authority in clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=authority.pem.decode())
    return context


async def ask(scene, context, known=None, **tls):
    server = await scene.start(always(OK), context=context)
    tls = {"spiffe_ids": ORDERS} | tls
    known = workload(PROD, PARTNER) if known is None else known
    upstreams = scene.build(f"https://127.0.0.1:{server.port}", tls=tls, workload=known)
    client = await exchange(upstreams)
    return client, server


async def test_the_workload_that_is_meant_is_reached_by_whatever_name(scene, tmp_path):
    client, _ = await ask(scene, serving(PROD.svid("/ns/shop/orders"), tmp_path))
    assert client.content == b"ok"


async def test_its_intermediate_does_not_matter(scene, tmp_path):
    below = PROD.authority.subordinate("a region")
    leaf = below.issue(None, uri=[PROD.id("/ns/shop/orders")], eku=BOTH)
    client, _ = await ask(scene, serving(leaf, tmp_path))
    assert client.content == b"ok"


WRONG = {
    "another workload": (PROD.svid("/ns/pay/orders"), "is none of"),
    "one below it": (PROD.svid("/ns/shop/orders/x"), "is none of"),
    "the same path in another domain": (PARTNER.svid("/ns/shop/orders"), ""),
    "posing by another domain's authority": (PARTNER.svid(uri=[PROD.id("/ns/shop/orders")]), ""),
    "a stranger": (STRANGER.svid("/ns/shop/orders"), "not verified"),
    "a name and no ID": (PROD.authority.issue("localhost", dns=["localhost"], ip=["127.0.0.1"], eku=BOTH), "no SPIFFE"),
    "two URI names": (PROD.svid(uri=[PROD.id("/ns/shop/orders"), "https://a.example/"]), "more than one URI"),
    "two IDs": (PROD.svid(uri=[PROD.id("/ns/shop/orders"), PROD.id("/ns/shop/b")]), "more than one URI"),
    "an authority": (PROD.svid("/ns/shop/orders", ca=True), ""),
    "for clients": (PROD.svid("/ns/shop/orders", eku=(CLIENT,)), "not verified"),
    "expired": (PROD.svid("/ns/shop/orders", not_before=now() - 3 * DAY, not_after=now() - DAY), "expired"),
}


@pytest.mark.parametrize("ids", [ORDERS, [*ORDERS, "spiffe://partner.example/else"]], ids=["one domain", "two"])
@pytest.mark.parametrize(("leaf", "why"), WRONG.values(), ids=WRONG)
async def test_another_gets_no_request(scene, tmp_path, leaf, why, ids):
    client, server = await ask(scene, serving(leaf, tmp_path), spiffe_ids=ids)
    assert client.refusal is not None
    assert client.refusal.reason is Reason.UPSTREAM_TLS_FAILED
    assert client.refusal.detail == ""
    assert why in client.refusal.cause
    assert server.heads == []


async def test_a_domain_whose_bundle_was_withdrawn_has_no_workloads(scene, tmp_path):
    known = workload(PROD)
    del known.bundles["prod.example"]
    client, server = await ask(scene, serving(PROD.svid("/ns/shop/orders"), tmp_path), known)
    assert client.refusal.reason is Reason.UPSTREAM_TLS_FAILED
    assert server.heads == []


async def test_our_svid_is_shown(scene, tmp_path):
    known = workload(PROD, shown=PROD.svid("/gateway", eku=BOTH))
    context = serving(PROD.svid("/ns/shop/orders"), tmp_path, PROD.authority)
    client, server = await ask(scene, context, known, svid=True)
    assert client.content == b"ok"
    shown = server.peers[0].writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    assert shown == known.svid.chain[0]


async def test_without_one_the_server_that_wants_it_is_not_reached(scene, tmp_path):
    context = serving(PROD.svid("/ns/shop/orders", eku=(SERVER,)), tmp_path, PROD.authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # where the refusal is a part of the handshake
    client, _ = await ask(scene, context)
    assert client.refusal is not None
    with pytest.raises(SpiffeError, match="no SVID"):
        scene.build("https://127.0.0.1:1", tls={"svid": True}, workload=workload(PROD))


async def test_what_is_under_way_ends_when_the_bundle_no_longer_vouches_and_goes_on_when_it_does(scene, tmp_path):
    context = serving(PROD.svid("/ns/shop/orders"), tmp_path)
    begun = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nthe beginning"
    server = await scene.start(and_wait(begun), context=context)
    url, tls = f"https://127.0.0.1:{server.port}", {"spiffe_ids": ORDERS}
    before = scene.build(url, tls=tls, workload=workload(PROD))
    client = RecordingClient()
    before.forward(authorized(), client).send_end()
    await client.until(lambda: client.content == b"the beginning")
    next_one = scene.build(url, tls=tls, workload=workload(PROD))
    next_one.take_over(before)
    assert client.aborted is None
    other = Domain("prod.example")  # the same name, and another authority
    scene.build(url, tls=tls, workload=workload(other)).take_over(before)
    await client.done()
    assert client.aborted is not None
