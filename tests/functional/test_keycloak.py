"""Keycloak as the other tests use it does what is expected of it."""

import time
from urllib.parse import urlencode

import jwt
from yarl import URL

from tests.functional.providers.keycloak import SECOND_FACTOR, Keycloak, needs_keycloak, one_time_code
from tests.functional.providers.provider import ALICE, BOB, Application
from tests.functional.providers.relying_party import CALLBACK, RelyingParty
from tests.functional.providers.visitor import Visitor
from tests.pki import Authority, client_context

pytestmark = needs_keycloak
LEFT = "https://app.localhost:1/left"
APP = Application("app", (CALLBACK,), post_logout_redirect_uris=(LEFT,))


async def test_a_login_a_second_factor_a_refresh_and_a_logout(tmp_path):
    authority = Authority.new("Keycloak's Root")
    async with (
        Keycloak(tmp_path, authority, [APP]) as provider,
        RelyingParty(provider, APP, client_context(authority)) as party,
        Visitor(authority) as browser,
    ):
        wrong = await browser.submit(
            await browser.open(party.authorization_url()), {"username": BOB.name, "password": ALICE.password}
        )
        assert "Invalid username or password" in wrong.text
        page = await browser.log_in(wrong, ALICE, until=CALLBACK)
        answer = await party.redeem(page.url)
        claims = await party.id_token(answer["id_token"])
        assert (claims["preferred_username"], sorted(claims["groups"])) == ("alice", ["admins", "staff"])
        assert (claims["acr"], "sid" in claims) == ("silver", True)
        access = jwt.decode(answer["access_token"], options={"verify_signature": False})
        assert "ztproxy" in access["aud"]

        page = await browser.open(party.authorization_url(acr_values=SECOND_FACTOR))
        page = await browser.submit(page, {"otp": one_time_code(ALICE, time.time())}, until=CALLBACK)
        assert (await party.id_token((await party.redeem(page.url))["id_token"]))["acr"] == SECOND_FACTOR

        refreshed = await party.refresh(answer["refresh_token"])
        assert refreshed["status"] == 200
        assert (await party.refresh(answer["refresh_token"]))["error"] == "invalid_grant"

        await provider.rotate()
        page = await browser.open(party.authorization_url(), until=CALLBACK)
        answer = await party.redeem(page.url)
        kids = {jwt.get_unverified_header(one["id_token"])["kid"] for one in (answer, refreshed)}
        assert len(kids) == 2
        for one in (answer, refreshed):
            await party.id_token(one["id_token"])

        leaving = {"id_token_hint": answer["id_token"], "post_logout_redirect_uri": LEFT, "state": "bye"}
        page = await browser.open(f"{party.discovered['end_session_endpoint']}?{urlencode(leaving)}", until=LEFT)
        assert page.url == URL(f"{LEFT}?state=bye")
