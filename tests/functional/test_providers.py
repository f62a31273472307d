"""The identity providers that other tests log in at do what is expected of them: a fixture that lies proves nothing."""

import base64
import hashlib
import ssl
from urllib.parse import urlencode

import aiohttp
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.serialization import Encoding
from yarl import URL

from tests.functional.ports import free_port
from tests.functional.providers.openid_provider import SECOND_FACTOR, OpenIdProvider, needs_openid_provider
from tests.functional.providers.provider import ALICE, BOB, Application
from tests.functional.providers.relying_party import CALLBACK, RelyingParty
from tests.functional.providers.visitor import Visitor
from tests.pki import Authority, client_context
from tests.tokens import private_key, public_jwk

pytestmark = needs_openid_provider

LEFT = "https://app.localhost:1/left"


APP = Application("app", (CALLBACK,), post_logout_redirect_uris=(LEFT,))


@pytest.fixture
def authority():
    return Authority.new("Providers' Root")


async def logged_in(party, authority, user=ALICE, visitor=None, **parameters):
    """The answer of the token endpoint after a whole login."""
    async with visitor or Visitor(authority) as browser:
        page = await browser.open(party.authorization_url(**parameters))
        code = "acr_values" in parameters
        return await party.redeem((await browser.log_in(page, user, code=code, until=CALLBACK)).url)


async def test_a_login_says_who_it_is(tmp_path, authority):
    async with (
        OpenIdProvider(tmp_path, authority, [APP]) as provider,
        RelyingParty(provider, APP, client_context(authority)) as party,
    ):
        answer = await logged_in(party, authority, acr_values=SECOND_FACTOR, max_age="600")
        claims = await party.id_token(answer["id_token"])
        assert (claims["sub"], claims["email"], claims["groups"]) == (
            "alice",
            "alice@corp.example",
            ["staff", "admins"],
        )
        assert (claims["nonce"], claims["acr"], "auth_time" in claims) == (party.nonce, SECOND_FACTOR, True)
        access = jwt.decode(answer["access_token"], options={"verify_signature": False})
        assert (access["aud"], access["sub"], access["groups"]) == ("ztproxy", "alice", ["staff", "admins"])


async def test_who_is_logged_in_is_asked_again_for_a_second_factor_only(tmp_path, authority):
    async with (
        OpenIdProvider(tmp_path, authority, [APP]) as provider,
        RelyingParty(provider, APP, client_context(authority)) as party,
        Visitor(authority) as browser,
    ):
        page = await browser.open(party.authorization_url())
        wrong = await browser.submit(page, {"username": BOB.name, "password": ALICE.password})
        assert wrong.status == 401
        first = await browser.log_in(wrong, BOB, until=CALLBACK)
        again = await browser.open(party.authorization_url(), until=CALLBACK)
        assert first.url.query.keys() == again.url.query.keys() == {"code", "state", "iss"}
        asked = await browser.open(party.authorization_url(acr_values=SECOND_FACTOR), until=CALLBACK)
        assert asked.url.host == "localhost"
        assert "code" in asked.forms[0].fields
        done = await browser.log_in(asked, BOB, code=True, until=CALLBACK)
        assert (await party.id_token((await party.redeem(done.url))["id_token"]))["acr"] == SECOND_FACTOR


async def test_a_refresh_token_counts_once(tmp_path, authority):
    async with (
        OpenIdProvider(tmp_path, authority, [APP]) as provider,
        RelyingParty(provider, APP, client_context(authority)) as party,
    ):
        answer = await logged_in(party, authority)
        refreshed = await party.refresh(answer["refresh_token"])
        assert refreshed["status"] == 200
        assert refreshed["refresh_token"] != answer["refresh_token"]
        assert (await party.refresh(answer["refresh_token"]))["error"] == "invalid_grant"
        assert (await party.refresh(refreshed["refresh_token"]))["error"] == "invalid_grant"


async def test_consent_may_be_refused(tmp_path, authority):
    async with (
        OpenIdProvider(tmp_path, authority, [APP], consent=True) as provider,
        RelyingParty(provider, APP, client_context(authority)) as party,
        Visitor(authority) as browser,
    ):
        page = await browser.log_in(await browser.open(party.authorization_url()), ALICE)
        assert "asks for" in page.text
        refused = await browser.submit(page, {"answer": "refuse"}, until=CALLBACK)
        assert refused.url.query["error"] == "access_denied"
        page = await browser.open(party.authorization_url())
        allowed = await browser.submit(page, {"answer": "allow"}, until=CALLBACK)
        assert (await party.redeem(allowed.url))["status"] == 200


async def test_logging_out_tells_the_application(tmp_path, authority):
    port, told = free_port(), []

    async def hear(request):
        told.append((await request.post())["logout_token"])
        return web.Response()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.server("app.localhost").write(tmp_path, "app"))
    listener = web.Application()
    listener.router.add_post("/heard", hear)
    runner = web.AppRunner(listener)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
    app = Application(
        "app", (CALLBACK,), post_logout_redirect_uris=(LEFT,),
        backchannel_logout_uri=f"https://app.localhost:{port}/heard",
    )  # fmt: skip
    async with (
        OpenIdProvider(tmp_path, authority, [app]) as provider,
        RelyingParty(provider, app, client_context(authority)) as party,
        Visitor(authority) as browser,
    ):
        page = await browser.log_in(await browser.open(party.authorization_url()), ALICE, until=CALLBACK)
        id_token = (await party.redeem(page.url))["id_token"]
        leaving = {"id_token_hint": id_token, "post_logout_redirect_uri": LEFT, "state": "bye"}
        page = await browser.open(f"{party.discovered['end_session_endpoint']}?{urlencode(leaving)}")
        page = await browser.submit(page, {"logout": "yes"}, until=LEFT)
        assert page.url == URL(f"{LEFT}?state=bye")
        await provider.back_channel_logout("app", "bob", "some-sid")
        sid = (await party.id_token(id_token))["sid"]
        first, second = [await party.id_token(token) for token in told]
    await runner.cleanup()
    assert (first["sub"], first["sid"], second["sub"], second["sid"]) == ("alice", sid, "bob", "some-sid")
    assert first["events"] == second["events"] == {"http://schemas.openid.net/event/backchannel-logout": {}}


async def test_its_key_changes_with_and_without_overlap(tmp_path, authority):
    async with (
        OpenIdProvider(tmp_path, authority, [APP]) as provider,
        RelyingParty(provider, APP, client_context(authority)) as party,
    ):
        before = (await logged_in(party, authority))["id_token"]
        await provider.rotate()
        await party.id_token(before)
        after = (await logged_in(party, authority))["id_token"]
        assert jwt.get_unverified_header(before)["kid"] != jwt.get_unverified_header(after)["kid"]
        await provider.forget()
        await party.id_token(after)
        with pytest.raises(ValueError, match="not enough values"):
            await party.id_token(before)


@pytest.mark.parametrize("how", ["private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"])
async def test_applications_without_a_secret(tmp_path, authority, how):
    leaf = authority.issue("application", dns=["application.corp.example"])
    key = public_jwk(private_key("ES256", "application"), kid="application", alg="ES256", use="sig")
    shown = public_jwk(leaf.key, x5c=[base64.b64encode(leaf.certificate.public_bytes(Encoding.DER)).decode()])
    app = Application(
        "app", (CALLBACK,), authentication=how,
        jwks={"private_key_jwt": {"keys": [key]}, "self_signed_tls_client_auth": {"keys": [shown]}}.get(how),
        certificate_dns="application.corp.example" if how == "tls_client_auth" else None,
        further={"tls_client_certificate_bound_access_tokens": True},
    )  # fmt: skip
    context = client_context(authority, leaf if "tls" in how else None, tmp_path)
    async with (
        OpenIdProvider(tmp_path, authority, [app]) as provider,
        RelyingParty(provider, app, context) as party,
    ):
        answer = await logged_in(party, authority)
        if how == "private_key_jwt":
            assert answer["error"] == "invalid_grant"  # a bound token needs a certificate
        else:
            bound = jwt.decode(answer["access_token"], options={"verify_signature": False})["cnf"]["x5t#S256"]
            digest = hashlib.sha256(leaf.certificate.public_bytes(Encoding.DER)).digest()
            assert bound == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


async def test_opaque_tokens_are_introspected(tmp_path, authority):
    async with (
        OpenIdProvider(tmp_path, authority, [APP], access_tokens="opaque") as provider,
        RelyingParty(provider, APP, client_context(authority)) as party,
    ):
        answer = await logged_in(party, authority)
        assert answer["access_token"].count(".") == 0
        told = await party.token({"token": answer["access_token"]}, "introspection_endpoint")
        assert (told["active"], told["sub"], told["aud"]) == (True, "alice", "ztproxy")
        await party.refresh(answer["refresh_token"])
        await party.refresh(answer["refresh_token"])  # the whole grant is revoked
        assert (await party.token({"token": answer["access_token"]}, "introspection_endpoint"))["active"] is False


async def test_killed_it_comes_back_under_its_name(tmp_path, authority):
    async with OpenIdProvider(tmp_path, authority, [APP]) as provider:
        await provider.stop()
        with pytest.raises(aiohttp.ClientError):
            async with RelyingParty(provider, APP, client_context(authority)):
                pass
        await provider.start()
        async with RelyingParty(provider, APP, client_context(authority)) as party:
            assert party.discovered["issuer"] == provider.issuer
