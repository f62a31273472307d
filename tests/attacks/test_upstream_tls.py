"""A server under https:// is verified by chain and name against exactly the configured authorities."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.pki import CLIENT, DAY, Authority, Leaf, now, self_signed
from tests.raw_server import RecordingClient, Scene, always, exchange
from ztproxy.config.upstreams import UpstreamTls
from ztproxy.model import Reason
from ztproxy.upstream import UnusableFileError
from ztproxy.upstream.tls import client_context

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CA = Authority.new("Backend Root")


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene() as scene:
        yield scene


def server_context(leaf: Leaf, folder: Path, clients: Authority | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*leaf.write(folder, f"server-{leaf.fingerprint[:8]}"))
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients.pem.decode())
    return context


async def ask(scene: Scene, context: ssl.SSLContext, host: str = "localhost", **tls: object) -> RecordingClient:
    server = await scene.start(always(OK), context=context)
    upstreams = scene.build(f"https://{host}:{server.port}", tls=tls)
    client = await exchange(upstreams)
    if client.refusal is None:
        assert (await exchange(upstreams)).content == b"ok"
        assert len(server.peers) == 1
    return client


def refused(client: RecordingClient) -> str:
    assert client.refusal is not None
    assert client.refusal.reason is Reason.UPSTREAM_TLS_FAILED
    assert client.refusal.detail == ""
    return client.refusal.cause


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_server_of_a_configured_authority_is_reached(scene, tmp_path, host):
    client = await ask(scene, server_context(CA.server(), tmp_path), host, authorities=[CA.write(tmp_path)])
    assert client.content == b"ok"


async def test_a_server_of_another_authority_is_not(scene, tmp_path):
    context = server_context(CA.server(), tmp_path)
    client = await ask(scene, context, authorities=[Authority.new("Backend Root").write(tmp_path)])
    assert "certificate not verified" in refused(client)


async def test_system_trust_does_not_cover_our_own_authority(scene, tmp_path):
    assert "certificate not verified" in refused(await ask(scene, server_context(CA.server(), tmp_path)))


WRONG = {
    "of another name": CA.server("other.test"),
    "with its name as common name alone": CA.issue("localhost", eku=None),
    "expired": CA.server(not_before=now() - 3 * DAY, not_after=now() - DAY),
    "not valid yet": CA.server(not_before=now() + DAY),
    "for clients": CA.issue("localhost", dns=["localhost"], eku=(CLIENT,)),
    "self-signed": self_signed("localhost", dns=["localhost"]),
    "issued by a leaf": CA.server().issue("localhost", dns=["localhost"], eku=None),
}


@pytest.mark.parametrize("leaf", WRONG.values(), ids=WRONG.keys())
async def test_a_wrong_certificate_is_refused(scene, tmp_path, leaf):
    assert refused(await ask(scene, server_context(leaf, tmp_path), authorities=[CA.write(tmp_path)]))


async def test_the_configured_server_name_is_sent_and_verified(scene, tmp_path):
    seen = []
    context = server_context(CA.server("orders.internal"), tmp_path)
    context.sni_callback = lambda _socket, name, _context: seen.append(name)
    client = await ask(scene, context, "127.0.0.1", authorities=[CA.write(tmp_path)], server_name="orders.internal")
    assert client.content == b"ok"
    assert seen == ["orders.internal"]


async def test_our_certificate_is_shown(scene, tmp_path):
    ours = CA.issue("ztproxy")
    certificate, key = ours.write(tmp_path, "ours")
    context = server_context(CA.server(), tmp_path, clients=CA)
    client = await ask(scene, context, authorities=[CA.write(tmp_path)], certificate=certificate, key=key)
    assert client.content == b"ok"


async def test_a_server_that_refuses_our_certificate_is_named_as_a_failure_of_tls(scene, tmp_path):
    context = server_context(CA.server(), tmp_path, clients=CA)

    def refuse_one() -> None:  # blocking, because asyncio's own server sends no alert
        accepted, _ = listening.accept()
        with accepted, pytest.raises(ssl.SSLError), context.wrap_socket(accepted, server_side=True):
            pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(asyncio.to_thread(refuse_one))
        url = f"https://localhost:{listening.getsockname()[1]}"
        client = await exchange(scene.build(url, tls={"authorities": [CA.write(tmp_path)]}))
        await serving
    cause = refused(client).lower()
    assert "required" in cause or "refuses our certificate" in cause  # its reset may overtake its alert


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls_1_2_and_1_3_are_spoken(scene, tmp_path, version):
    context = server_context(CA.server(), tmp_path)
    context.minimum_version = context.maximum_version = version
    assert (await ask(scene, context, authorities=[CA.write(tmp_path)])).content == b"ok"


def test_nothing_older_is_spoken():
    context = client_context(None)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


async def test_a_server_that_is_silent_in_the_handshake_runs_into_the_connect_timeout(scene):
    server = await scene.start(lambda peer: peer.until_closed())
    upstreams = scene.build(f"https://localhost:{server.port}", timeouts={"connect": "100ms"})
    client = await exchange(upstreams)
    assert client.refusal is not None
    assert client.refusal.reason is Reason.UPSTREAM_TIMEOUT
    await asyncio.wait_for(server.peers[0].closed.wait(), 5)


async def test_a_server_that_speaks_no_tls_is_refused(scene):
    async def script(peer):
        await peer.reader.read(100)
        await peer.say(OK)

    server = await scene.start(script)
    assert refused(await exchange(scene.build(f"https://localhost:{server.port}")))


async def test_octets_on_an_idle_tls_connection_end_it(scene, tmp_path):
    async def script(peer):
        await peer.head()
        await peer.say(OK)
        await poison.wait()
        await peer.say(OK)
        await peer.until_closed()

    poison = asyncio.Event()
    server = await scene.start(script, always(OK), context=server_context(CA.server(), tmp_path))
    upstreams = scene.build(f"https://localhost:{server.port}", tls={"authorities": [CA.write(tmp_path)]})
    await exchange(upstreams)
    poison.set()
    await asyncio.wait_for(server.peers[0].closed.wait(), 5)
    assert (await exchange(upstreams)).content == b"ok"
    assert len(server.peers) == 2


UNUSABLE = {"empty": b"", "text": b"not a certificate", "a broken one": CA.pem.replace(b"MII", b"!!!")}


@pytest.mark.parametrize("content", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_authorities_that_cannot_be_read_never_become_the_systems(tmp_path, content):
    path = tmp_path / "ca.pem"
    path.write_bytes(content)
    with pytest.raises(UnusableFileError, match=str(path)):
        client_context(UpstreamTls(authorities=(path,)))


def test_an_authority_file_that_went_away_stops_the_start(tmp_path):
    path = CA.write(tmp_path)
    tls = UpstreamTls(authorities=(path,))
    path.unlink()
    with pytest.raises(UnusableFileError, match=str(path)):
        client_context(tls)


def test_a_key_of_another_certificate_stops_the_start(tmp_path):
    certificate, _ = CA.issue("one").write(tmp_path, "one")
    _, key = CA.issue("two").write(tmp_path, "two")
    with pytest.raises(UnusableFileError, match=str(certificate)):
        client_context(UpstreamTls(certificate=certificate, key=key))
