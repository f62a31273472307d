"""People log in with a real browser, at real identity providers, and out again: what they see, and what they keep."""

import asyncio
import contextlib

import pytest

from tests.functional.browser import Browser, needs_browser
from tests.functional.ports import free_port
from tests.functional.providers.openid_provider import SECOND_FACTOR, OpenIdProvider, needs_openid_provider
from tests.functional.providers.provider import ALICE, BOB
from tests.functional.single_sign_on import OWN, SingleSignOn, applications
from tests.pki import Authority

pytestmark = [*needs_browser, *needs_openid_provider]

SESSION = "__Host-ztproxy-id"
CENTRAL = '    host: "login.localhost:PORT"'


@contextlib.asynccontextmanager
async def world(folder, login="", **options):
    """The sites, their provider, and a browser."""
    authority, port = Authority.new("Browser Login Root"), free_port()
    async with (
        OpenIdProvider(folder, authority, applications(port), **options) as provider,
        SingleSignOn(folder, provider, authority, port, SECOND_FACTOR, login) as sites,
        Browser(folder, authority) as browser,
    ):
        yield sites, provider, browser


async def log_in(person, user, *, code=False):
    """Fill in the provider's page, which is shown."""
    await person.fill(username=user.name, password=user.password, **({"code": user.code} if code else {}))
    await person.press("Log in")


async def sign_out(person, host):
    await person.open(f"{host}{OWN}/logout")
    await person.press("Sign out")
    if "signed out" not in await person.text():
        await person.page.click('button[name="logout"]')  # the provider asks too


async def forget(person, host):
    """As if all that the host keeps in the browser had ended by its time."""
    for cookie in await person.context.cookies(host):
        await person.context.clear_cookies(name=cookie["name"], domain=cookie["domain"])


async def some_time_later(person):
    """Nobody who was just logged in is sent there again at once (`just_done.py`); people take longer than a test."""
    await person.context.clear_cookies(name=f"{SESSION}-done")


async def session_of(person, host):
    return (await person.cookies(host)).get(SESSION)


async def test_a_login_returns_to_the_page_and_a_second_tab_needs_none(tmp_path):
    async with world(tmp_path) as (sites, provider, browser):
        person = await browser.person()
        await person.open(f"{sites.app}/reports?year=2026&q=%C3%A9")
        assert person.url.startswith(provider.issuer)
        await log_in(person, ALICE)
        assert person.url == f"{sites.app}/reports?year=2026&q=%C3%A9"
        cookie = await session_of(person, sites.app)
        assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"], cookie["path"]) == (True, True, "Lax", "/")
        assert all(name.startswith(SESSION) for name in await person.cookies(sites.app))
        tab = await person.tab()
        await tab.open(f"{sites.app}/other")
        assert tab.url == f"{sites.app}/other"
        assert [seen["cookies"] for seen in sites.seen] == [[]] * len(sites.seen)
        assert await person.page.evaluate("document.cookie") == ""


async def test_a_form_that_the_login_interrupted_is_sent_after_it(tmp_path):
    async with world(tmp_path) as (sites, provider, browser):
        person = await browser.person()
        await person.open(f"{sites.app}/form")
        await log_in(person, ALICE)
        await person.fill(note="half an hour's work, “quoted” & <b>bold</b>")
        await forget(person, sites.app)
        await forget(person, provider.issuer)
        await person.press("Save")
        assert person.url.startswith(provider.issuer)
        await log_in(person, ALICE)
        assert await person.violations() == []
        await person.screenshot("interrupted-form")
        await person.page.locator("form button").first.click()
        await person.page.wait_for_url(f"{sites.app}/saved")
        [saved] = [seen for seen in sites.seen if "form" in seen]
        assert saved["form"] == {"note": "half an hour's work, “quoted” & <b>bold</b>"}


async def test_sign_out_ends_both_sessions_and_the_back_button_shows_nothing(tmp_path):
    async with world(tmp_path) as (sites, provider, browser):
        person = await browser.person()
        await person.open(f"{sites.app}/secret-report")
        await log_in(person, ALICE)
        assert "secret-report" in await person.text()
        await sign_out(person, sites.app)
        assert "You are signed out" in await person.text()
        assert await session_of(person, sites.app) is None
        for _ in range(4):
            await person.page.go_back()
            if person.url.startswith(f"{sites.app}/secret"):
                break
        assert "secret-report" not in await person.page.title() + await person.text()
        await person.open(f"{sites.app}/secret-report")
        assert person.url.startswith(provider.issuer)


async def test_a_step_up_asks_for_the_second_factor_once(tmp_path):
    async with world(tmp_path) as (sites, provider, browser):
        person = await browser.person()
        await person.open(f"{sites.app}/")
        await log_in(person, ALICE)
        before = (await session_of(person, sites.app))["value"]
        await person.open(f"{sites.app}/pay/invoice")
        assert person.url.startswith(provider.issuer)
        await log_in(person, ALICE, code=True)
        assert person.url == f"{sites.app}/pay/invoice"
        after = (await session_of(person, sites.app))["value"]
        assert after != before
        await person.open(f"{sites.app}/pay/another")
        assert person.url == f"{sites.app}/pay/another"


async def test_who_may_not_takes_another_account(tmp_path):
    async with world(tmp_path) as (sites, provider, browser):
        person = await browser.person()
        await person.open(f"{sites.app}/admin/users")
        await log_in(person, BOB)
        text = await person.text()
        assert person.url == f"{sites.app}/admin/users"
        assert "administrators only" in text
        assert "Bob" in text
        await person.press("another account")
        assert person.url.startswith(provider.issuer)
        await log_in(person, ALICE)
        assert person.url == f"{sites.app}/admin/users"
        assert "Application" in await person.text()


async def test_one_login_host_for_two_applications(tmp_path):
    async with world(tmp_path, CENTRAL) as (sites, provider, browser):
        person = await browser.person()
        await person.open(f"{sites.app}/a")
        await log_in(person, ALICE)
        assert person.url == f"{sites.app}/a"
        await person.open(f"{sites.other}/b")
        assert person.url == f"{sites.other}/b"
        values = {host: (await session_of(person, host))["value"] for host in (sites.app, sites.other)}
        assert len(set(values.values())) == 2
        await sign_out(person, sites.other)
        await some_time_later(person)
        await person.open(f"{sites.app}/a")
        assert person.url.startswith(provider.issuer)


async def test_a_stolen_cookie_does_not_count_on_another_host(tmp_path):
    async with world(tmp_path) as (sites, provider, browser):
        person, thief = await browser.person(), await browser.person()
        await person.open(f"{sites.app}/a")
        await log_in(person, ALICE)
        value = (await session_of(person, sites.app))["value"]
        stolen = {"name": SESSION, "value": value, "url": f"{sites.other}/", "httpOnly": True, "secure": True}
        await thief.context.add_cookies([stolen])
        await thief.open(f"{sites.other}/b")
        assert thief.url.startswith(provider.issuer)


async def test_claims_are_refreshed_and_the_provider_ends_sessions(tmp_path):
    async with world(tmp_path, lifetimes={"AccessToken": 4, "IdToken": 4}) as (sites, provider, browser):
        person = await browser.person()
        await person.open(f"{sites.app}/admin/users")
        await log_in(person, BOB)
        assert "administrators only" in await person.text()
        await provider.groups(BOB, "staff", "admins")
        async with asyncio.timeout(30):
            while "administrators only" in await person.text():
                await person.open(f"{sites.app}/admin/users")
        assert person.url == f"{sites.app}/admin/users"
        await some_time_later(person)
        await person.open(f"{provider.issuer}/session/end")
        await person.page.click('button[name="logout"]')
        await person.page.wait_for_url(f"{provider.issuer}/session/end/success*")
        await person.open(f"{sites.app}/")
        assert person.url.startswith(provider.issuer)


async def test_scripts_are_told_and_not_sent_away(tmp_path):
    async with world(tmp_path) as (sites, _provider, browser):
        person = await browser.person()
        await person.open(f"{sites.app}/form")
        await log_in(person, ALICE)
        await person.context.clear_cookies(name=SESSION)
        got = await person.page.evaluate("fetch('/data').then(async r => [r.status, r.redirected, await r.json()])")
        assert got[:2] == [401, False]
        assert got[2]["reason"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_our_pages_can_be_used_by_everybody(tmp_path, dark):
    theme = "dark" if dark else "light"
    async with world(tmp_path) as (sites, _provider, browser):
        person = await browser.person(dark=dark)
        await person.open(f"{sites.app}{OWN}/callback?error=access_denied&error_description=<b>You+refused</b>&state=x")
        await looked_at(person, f"login-failed-{theme}")
        await person.open(f"{sites.app}/admin/users")
        await log_in(person, BOB)
        assert len(await looked_at(person, f"denied-{theme}")) >= 1
        await person.open(f"{sites.app}{OWN}/logout")
        stops = await looked_at(person, f"sign-out-{theme}")
        assert any("Sign out" in stop for stop in stops)
        await person.page.keyboard.press("Tab")
        await sign_out(person, sites.app)
        await looked_at(person, f"signed-out-{theme}")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_nobody_can_log_in_while_the_issuer_was_never_there(tmp_path, dark):
    authority, port = Authority.new("Browser Login Root"), free_port()
    provider = OpenIdProvider(tmp_path, authority, applications(port))
    async with (
        SingleSignOn(tmp_path, provider, authority, port, SECOND_FACTOR) as sites,
        Browser(tmp_path, authority) as browser,
    ):
        person = await browser.person(dark=dark)
        response = await person.open(f"{sites.app}/")
        assert (response.status, person.url) == (503, f"{sites.app}/")
        await looked_at(person, f"issuer-away-{'dark' if dark else 'light'}")
        async with provider, asyncio.timeout(60):
            while not person.url.startswith(provider.issuer):
                await person.open(f"{sites.app}/")


async def looked_at(person, name):
    """Take a picture, and find nothing that keeps anybody from using the page."""
    await person.screenshot(name)
    assert await person.violations() == []
    stops = await person.tab_stops()
    assert [stop for stop in stops if "not visible" in stop] == []
    assert await person.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    return stops


async def test_the_keyboard_is_enough(tmp_path):
    async with world(tmp_path) as (sites, _provider, browser):
        person = await browser.person()
        await person.open(f"{sites.app}/")
        await log_in(person, ALICE)
        await person.open(f"{sites.app}{OWN}/logout")
        await person.page.keyboard.press("Tab")
        async with person.page.expect_navigation():
            await person.page.keyboard.press("Enter")
        assert not person.url.startswith(f"{sites.app}/.well-known/ztproxy/logout?")
        assert await session_of(person, sites.app) is None
