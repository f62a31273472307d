"""The same people at Keycloak, in one go: it takes long to start."""

import time

from tests.functional.browser import Browser, needs_browser
from tests.functional.ports import free_port
from tests.functional.providers.keycloak import SECOND_FACTOR, Keycloak, needs_keycloak, one_time_code
from tests.functional.providers.provider import ALICE
from tests.functional.single_sign_on import OWN, SingleSignOn, applications
from tests.pki import Authority

pytestmark = [*needs_browser, *needs_keycloak]

SESSION = "__Host-ztproxy-id"


async def test_login_step_up_back_channel_logout_and_sign_out(tmp_path):
    authority, port = Authority.new("Browser Keycloak Root"), free_port()
    async with (
        Keycloak(tmp_path, authority, applications(port)) as provider,
        SingleSignOn(tmp_path, provider, authority, port, SECOND_FACTOR) as sites,
        Browser(tmp_path, authority) as browser,
    ):
        person = await browser.person()
        await person.open(f"{sites.app}/admin/x?y=1")
        await person.fill(username=ALICE.name, password=ALICE.password)
        await person.press("Sign In")
        assert person.url == f"{sites.app}/admin/x?y=1"
        before = await session_of(person, sites.app)

        await person.open(f"{sites.app}/pay/invoice")
        await person.fill(otp=one_time_code(ALICE, time.time()))
        await person.press("Sign In")
        assert person.url == f"{sites.app}/pay/invoice"
        after = await session_of(person, sites.app)
        assert after != before

        # Out of the session there, by its own page: we are told, behind the scenes.
        await person.context.clear_cookies(name=f"{SESSION}-done")
        await person.open(f"{provider.issuer}/protocol/openid-connect/logout")
        await person.press("Logout")
        await person.open(f"{sites.app}/")
        assert person.url.startswith(provider.issuer)

        await person.fill(username=ALICE.name, password=ALICE.password)
        await person.press("Sign In")
        assert person.url == f"{sites.app}/"
        await person.open(f"{sites.app}{OWN}/logout")
        await person.press("Sign out")
        assert "You are signed out" in await person.text()
        await person.open(f"{sites.app}/")
        assert person.url.startswith(provider.issuer)


async def session_of(person, host):
    return (await person.cookies(host)).get(SESSION, {}).get("value")
