"""The browser of the tests is one: it trusts whom it is told to, keeps people apart, and sees what is hard to use."""

import ssl

import pytest
from aiohttp import web

from tests.functional.browser import Browser, needs_browser
from tests.functional.ports import free_port
from tests.functional.providers.openid_provider import OpenIdProvider, needs_openid_provider
from tests.functional.providers.provider import ALICE, Application
from tests.functional.providers.relying_party import CALLBACK, RelyingParty
from tests.pki import Authority, client_context

pytestmark = [*needs_browser, *needs_openid_provider]

GOOD = """<!doctype html><html lang="en"><head><title>Good</title><style>:root {color-scheme: light dark}</style></head>
<body><main><h1>Good</h1><form><label>Name <input name="name"></label><button>Go</button></form></main></body></html>"""
BAD = """<!doctype html><html><head><style>button:focus {outline: none}</style></head>
<body><input name="name"><button style="color:#ccc;background:#ddd">Go</button></body></html>"""


@pytest.fixture
def authority():
    return Authority.new("Browser's Root")


@pytest.fixture
async def site(tmp_path, authority):
    """The address of a host of each of two authorities, with a good and a bad page."""

    async def page(request):
        body = GOOD if request.path == "/good" else BAD
        response = web.Response(text=body, content_type="text/html")
        response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
        response.headers["Set-Cookie"] = "__Host-id=1; Path=/; Secure; HttpOnly; SameSite=Lax"
        return response

    application = web.Application()
    application.router.add_get("/{path}", page)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    found = {}
    for name, of in (("app", authority), ("other", Authority.new("Another Root"))):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*of.server(f"{name}.localhost").write(tmp_path, name))
        found[name] = f"https://{name}.localhost:{(port := free_port())}"
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
    yield found
    await runner.cleanup()


async def test_it_trusts_its_authority_alone_and_reaches_this_machine_alone(tmp_path, authority, site):
    from playwright.async_api import Error

    async with Browser(tmp_path, authority) as browser:
        person = await browser.person()
        assert (await person.open(f"{site['app']}/good")).status == 200
        with pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"):
            await person.open(f"{site['other']}/good")
        with pytest.raises(Error, match="ERR_NAME_NOT_RESOLVED"):
            await person.open("https://example.com/")
        cookie = (await person.cookies(site["app"]))["__Host-id"]
        assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Lax")
        assert await (await browser.person()).cookies(site["app"]) == {}


async def test_it_sees_what_is_hard_to_use(tmp_path, authority, site):
    async with Browser(tmp_path, authority) as browser:
        person = await browser.person(dark=True)
        await person.open(f"{site['app']}/good")
        assert await person.violations() == []
        assert await person.tab_stops() == ["Name", "Go"]
        assert (await person.screenshot("good")).read_bytes().startswith(b"\x89PNG")
        await person.open(f"{site['app']}/bad")
        found = {violation.partition(":")[0] for violation in await person.violations()}
        assert {"color-contrast", "document-title", "html-has-lang", "label"} <= found
        assert "Go (focus not visible)" in await person.tab_stops()


async def test_it_logs_in_at_the_identity_provider(tmp_path, authority):
    app = Application("app", (CALLBACK,))
    async with (
        OpenIdProvider(tmp_path, authority, [app]) as provider,
        RelyingParty(provider, app, client_context(authority)) as party,
        Browser(tmp_path, authority) as browser,
    ):
        person = await browser.person()
        await person.open(party.authorization_url())
        await person.fill(username=ALICE.name, password=ALICE.password)
        async with person.page.expect_request(f"{CALLBACK}*") as sought:
            await person.page.click("#log-in")
        assert (await sought.value).url.startswith(f"{CALLBACK}?code=")
