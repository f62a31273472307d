"""An issuer that lies, redirects, hangs, floods or goes away lets nobody in, holds nobody up, and may come back."""

import asyncio
import contextlib
import gzip
import json

import pytest
from aiohttp import web

from tests.issuer_server import DISCOVERY, KEYS, World
from tests.pki import Authority
from ztproxy.identity import IdentityConfigError
from ztproxy.identity.issuers import kept
from ztproxy.model import Identified, Reason


@pytest.fixture
async def world(tmp_path):
    async with World(tmp_path) as world:
        yield world


@pytest.fixture
def short(monkeypatch):
    """A fetch may take 0.2 s in all."""
    monkeypatch.setattr(kept, "FETCH_TIME", 0.2)


async def reason(world, identity, bearer):
    outcome = await world.ask(identity, bearer)
    return None if isinstance(outcome, Identified) else outcome.reason


def says(document, **options):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()

    async def answer(request):
        return web.Response(body=body, **options)

    return answer


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://evil.test"},
        {"issuer": None},
        {"jwks_uri": "http://localhost:1/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "https://"},
        {"jwks_uri": "https://[/keys"},
        {"jwks_uri": "https://user@localhost:PORT/keys"},
        {"jwks_uri": "https://localhost:PORT/keys#fragment"},
        {"jwks_uri": None},
        {"jwks_uri": ["https://localhost/keys"]},
    ],
)
async def test_discovery_that_names_another_issuer_or_a_place_that_will_not_do(world, change):
    issuer = await world.issuer()
    metadata = json.dumps(issuer.metadata() | change).replace("PORT", str(issuer.port))
    issuer.answers[DISCOVERY] = says(metadata.encode())
    identity = await world.identity([issuer], started=False)
    assert await reason(world, identity, issuer.tokens.bearer()) is Reason.ISSUER_KEYS_UNAVAILABLE
    assert KEYS not in issuer.asked


async def test_the_issuers_name_with_another_slash_is_another(world):
    issuer = await world.issuer()
    issuer.answers[DISCOVERY] = says(issuer.metadata() | {"issuer": issuer.url + "/"})
    identity = await world.identity([issuer], started=False)
    assert await reason(world, identity, issuer.tokens.bearer()) is Reason.ISSUER_KEYS_UNAVAILABLE


@pytest.mark.parametrize("path", [DISCOVERY, KEYS])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(world, path, status):
    issuer = await world.issuer()
    issuer.answers[path] = says(b"", status=status, headers={"Location": issuer.url + "/elsewhere"})
    issuer.answers["/elsewhere"] = says(issuer.metadata() if path == DISCOVERY else issuer.tokens.jwks())
    identity = await world.identity([issuer], started=False)
    assert await reason(world, identity, issuer.tokens.bearer()) is Reason.ISSUER_KEYS_UNAVAILABLE
    assert "/elsewhere" not in issuer.asked


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"[]",
        b'{"keys": {}}',
        b'{"keys": null}',
        b'{"keys": [], "keys": []}',
        b'{"keys": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        {"keys": [{"kty": "oct", "kid": str(number)} for number in range(101)]},
    ],
    ids=["empty", "cut", "list", "object", "null", "twice", "deep", "many"],
)
async def test_what_is_no_key_set(world, document):
    issuer = await world.issuer()
    issuer.answers[KEYS] = says(document)
    identity = await world.identity([issuer], started=False)
    assert await reason(world, identity, issuer.tokens.bearer()) is Reason.ISSUER_KEYS_UNAVAILABLE


@pytest.mark.parametrize("status", [204, 206, 401, 404, 500])
async def test_keys_under_another_status_do_not_count(world, status):
    issuer = await world.issuer()
    issuer.answers[KEYS] = says(b"" if status == 204 else issuer.tokens.jwks(), status=status)
    identity = await world.identity([issuer], started=False)
    assert await reason(world, identity, issuer.tokens.bearer()) is Reason.ISSUER_KEYS_UNAVAILABLE


async def test_a_document_without_end_is_cut_off(world):
    issuer = await world.issuer()
    sent = 0

    async def stream(request):
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while sent < 64 << 20:
                await response.write(b" " * 65536)
                await asyncio.sleep(0)  # the writer alone would never give way
                sent += 65536
        return response

    issuer.answers[KEYS] = stream
    identity = await world.identity([issuer], started=False)
    assert await reason(world, identity, issuer.tokens.bearer()) is Reason.ISSUER_KEYS_UNAVAILABLE
    assert sent < 64 << 20


async def test_a_compressed_document_is_not_unpacked(world):
    issuer = await world.issuer()
    packed = gzip.compress(json.dumps(issuer.tokens.jwks()).encode())
    issuer.answers[KEYS] = says(packed, headers={"Content-Encoding": "gzip"})
    identity = await world.identity([issuer], started=False)
    assert await reason(world, identity, issuer.tokens.bearer()) is Reason.ISSUER_KEYS_UNAVAILABLE


@pytest.mark.parametrize("path", [DISCOVERY, KEYS])
async def test_one_that_hangs_delays_no_token_of_another(world, path):
    hanging, well = await world.issuer(), await world.issuer(kid="key-2")
    hanging.answers[path] = hanging.hang
    identity = await world.identity([hanging, well])
    waiting = [asyncio.ensure_future(reason(world, identity, hanging.tokens.bearer())) for _ in range(50)]
    assert await reason(world, identity, well.tokens.bearer()) is None
    assert not any(one.done() for one in waiting)
    hanging.hold.set()
    assert set(await asyncio.gather(*waiting)) == {Reason.ISSUER_KEYS_UNAVAILABLE}
    assert hanging.asked.count(path) == 1


@pytest.mark.slow
@pytest.mark.parametrize("path", [DISCOVERY, KEYS])
async def test_one_that_hangs_is_not_waited_for(world, short, path):
    issuer = await world.issuer()
    issuer.answers[path] = issuer.hang
    identity = await world.identity([issuer], started=False)
    assert await reason(world, identity, issuer.tokens.bearer()) is Reason.ISSUER_KEYS_UNAVAILABLE


@pytest.mark.slow
async def test_one_that_drips_is_bounded_in_all(world, short):
    issuer = await world.issuer()

    async def drip(request):
        response = web.StreamResponse()
        await response.prepare(request)
        while not issuer.hold.is_set():
            await response.write(b" ")
            await asyncio.sleep(0.02)
        return response

    issuer.answers[KEYS] = drip
    identity = await world.identity([issuer], started=False)
    assert await reason(world, identity, issuer.tokens.bearer()) is Reason.ISSUER_KEYS_UNAVAILABLE


async def test_a_flood_of_unknown_key_ids_asks_once_in_five_seconds(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer], started=False)
    assert await reason(world, identity, issuer.tokens.bearer()) is None
    world.clock.advance(4.9)
    flood = [issuer.tokens.bearer(header={"kid": f"unknown-{number}"}) for number in range(20)]
    assert {await reason(world, identity, bearer) for bearer in flood} == {Reason.TOKEN_KEY_UNKNOWN}
    assert issuer.asked.count(KEYS) == 1
    world.clock.advance(0.1)
    answers = await asyncio.gather(*(reason(world, identity, bearer) for bearer in flood))
    assert set(answers) == {Reason.TOKEN_KEY_UNKNOWN}
    assert issuer.asked.count(KEYS) == 2


async def test_a_new_key_is_found_by_its_first_token(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer], started=False)
    assert await reason(world, identity, issuer.tokens.bearer()) is None
    issuer.sign_with("ES256", "key-2")
    world.clock.advance(5)
    assert await reason(world, identity, issuer.tokens.bearer()) is None


async def test_known_keys_go_on_while_an_unknown_one_is_asked_for(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer], started=False)
    assert await reason(world, identity, issuer.tokens.bearer()) is None
    issuer.answers[KEYS] = issuer.hang
    world.clock.advance(10)
    waiting = asyncio.ensure_future(reason(world, identity, issuer.tokens.bearer(header={"kid": "unknown"})))
    await asyncio.sleep(0)
    assert await reason(world, identity, issuer.tokens.bearer(jti="fresh")) is None
    assert not waiting.done()
    issuer.hold.set()
    assert await waiting is Reason.TOKEN_KEY_UNKNOWN


async def test_last_good_keys_go_on_while_it_is_away_and_it_may_come_back(world):
    issuer = await world.issuer()
    identity = await world.identity([issuer], started=False)
    assert await reason(world, identity, issuer.tokens.bearer()) is None
    await issuer.stop()
    world.clock.advance(3601)
    assert await reason(world, identity, issuer.tokens.bearer()) is None
    world.clock.advance(600)
    issuer.sign_with("ES256", "key-2")
    assert await reason(world, identity, issuer.tokens.bearer()) is Reason.TOKEN_KEY_UNKNOWN
    await issuer.start()
    issuer.sign_with("ES256", "key-2")
    world.clock.advance(5)
    assert await reason(world, identity, issuer.tokens.bearer()) is None


async def test_never_fetched_is_unavailable_until_it_is_there(world):
    issuer = await world.issuer()
    bearer = issuer.tokens.bearer()
    await issuer.stop()
    identity = await world.identity([issuer], started=False)
    assert await reason(world, identity, bearer) is Reason.ISSUER_KEYS_UNAVAILABLE
    await issuer.start()
    assert await reason(world, identity, bearer) is Reason.ISSUER_KEYS_UNAVAILABLE  # asked a moment ago
    world.clock.advance(5)
    assert await reason(world, identity, bearer) is None


@pytest.mark.parametrize("wrong", ["authority", "name"])
async def test_its_tls_certificate_is_verified(world, wrong):
    issuer = await world.issuer()
    section = world.trust(issuer)
    if wrong == "authority":
        section["authorities"] = [Authority.new("Issuers' Root").write(world.folder, "same-name")]
    else:
        address = issuer.url.replace("localhost", "127.0.0.2")
        section |= {"jwks_uri": address + KEYS}
    identity = await world.build(world.settings([section]), started=False)
    assert await reason(world, identity, issuer.tokens.bearer()) is Reason.ISSUER_KEYS_UNAVAILABLE
    assert issuer.asked == []


async def test_the_environments_proxy_is_not_used(world, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    issuer = await world.issuer()
    identity = await world.identity([issuer], started=False)
    assert await reason(world, identity, issuer.tokens.bearer()) is None


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
async def test_an_authority_file_that_cannot_be_read_never_means_the_systems_trust(world, content):
    issuer = await world.issuer()
    path = world.folder / "broken-ca.pem"
    path.write_bytes(content or b"")
    settings = world.settings([world.trust(issuer, authorities=[path])])
    if content is None:
        path.unlink()
    with pytest.raises(IdentityConfigError, match=r"broken-ca\.pem"):
        await world.build(settings)


@pytest.mark.parametrize("change", [{"issuer": "http://login.test"}, {"jwks_uri": "http://login.test/keys"}])
async def test_plain_http_is_refused_at_the_start(world, change):
    issuer = await world.issuer()
    with pytest.raises(IdentityConfigError, match="https"):
        await world.identity([issuer], **change)
