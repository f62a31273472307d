"""Nobody is signed out by a stranger, and whoever is signed out stays so."""

import pytest

from tests.login_server import LoginWorld, query_of
from tests.tokens import ABSENT, encode, private_key, signer

PAGE = "https://app.test/x"
LOGOUT = "https://app.test/.well-known/ztproxy/logout"
BACK_CHANNEL = "https://app.test/.well-known/ztproxy/backchannel-logout"


@pytest.fixture
async def world(tmp_path):
    async with LoginWorld(tmp_path) as world:
        yield world


@pytest.fixture
async def op(world):
    return await world.op()


@pytest.fixture
async def browser(world, op):
    browser = world.browser(await world.gateway(op))
    await browser.get(PAGE)
    return browser


async def is_signed_in(browser):
    return (await browser.once(PAGE, headers={"Accept": "application/json", "Sec-Fetch-Mode": None})).status == 200


async def test_signing_out_ends_the_session_here_and_at_the_issuer(world, browser, op):
    stolen = dict(browser.jar["app.test"])
    page = await browser.get(LOGOUT)
    assert b"Alice Example" in page.body
    assert await is_signed_in(browser)
    gone = await browser.press(page)
    assert b"You are signed out" in gone.body
    assert browser.session() is None
    (ended,) = op.ended
    assert ended["post_logout_redirect_uri"] == "https://app.test/.well-known/ztproxy/logged-out"
    assert ended["client_id"] == "ztproxy-web"
    assert ended["id_token_hint"].count(".") == 2
    browser.jar["app.test"] = stolen
    assert not await is_signed_in(browser)


async def test_pages_that_were_shown_are_forgotten(browser):
    page = await browser.get(LOGOUT)
    sent = await browser.once(
        LOGOUT, method="POST", headers={"Origin": "https://app.test", "Sec-Fetch-Site": "same-origin"}
    )
    assert sent["clear-site-data"] == '"cache"'
    assert page["cache-control"] == "no-store"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_a_link_signs_nobody_out(browser, method):
    await browser.once(LOGOUT, method=method, headers={"Content-Length": "0"})
    assert await is_signed_in(browser)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.test", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-site", "Origin": "https://app.test"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": None},
    ],
)
async def test_a_page_of_another_site_signs_nobody_out(browser, headers):
    response = await browser.once(LOGOUT, method="POST", headers=headers)
    assert response.reason == "cross-site-refused"
    assert response.set_cookies == []
    assert await is_signed_in(browser)


async def test_without_a_session_there_is_nothing_to_sign_out_of(world, browser, op):
    stranger = world.browser(browser.gateway)
    assert b"not signed in" in (await stranger.get(LOGOUT)).body
    assert b"You are signed out" in (await stranger.post(LOGOUT, [])).body
    assert op.ended == []


@pytest.mark.parametrize("state", ["", "x", "https://evil.test", "A" * 5000])
async def test_the_page_afterwards_leads_nowhere_else(browser, state):
    response = await browser.once(f"https://app.test/.well-known/ztproxy/logged-out?state={state}")
    assert response.status == 200
    assert b'href="/"' in response.body


async def test_an_issuer_without_a_place_to_end_sessions(world, op):
    op.published["end_session_endpoint"] = ABSENT
    browser = world.browser(await world.gateway(op))
    await browser.get(PAGE)
    assert (await browser.post(LOGOUT, [])).url == "https://app.test/.well-known/ztproxy/logged-out"


@pytest.mark.parametrize("again", ["//evil.test", "https://evil.test", "/\\evil.test", "/.well-known/ztproxy/logout"])
async def test_another_account_leads_back_to_this_host(browser, op, again):
    response = await browser.post(LOGOUT, [("again", again)])
    assert response.url == "https://app.test/"
    assert op.asked_to_authorize[-1]["prompt"] == "login"


# -- the back channel


async def told(browser, token, **options):
    content = b"logout_token=" + token if isinstance(token, bytes) else token
    kind = options.pop("kind", "application/x-www-form-urlencoded")
    headers = {"Accept": None, "Sec-Fetch-Site": None, "Sec-Fetch-Mode": None, "Sec-Fetch-Dest": None, "Cookie": None}
    return await browser.once(
        BACK_CHANNEL,
        method="POST",
        content=content.encode() if isinstance(content, str) else content,
        kind=kind,
        headers=headers,
    )


@pytest.mark.parametrize(
    "claims", [{}, {"sub": ABSENT}, {"sid": ABSENT}, {"aud": ["others", "ztproxy-web"]}, {"exp": 1_800_000_060}]
)
@pytest.mark.parametrize("header", [{}, {"typ": ABSENT}, {"typ": "JWT"}])
async def test_an_issuers_logout_ends_the_session(browser, op, claims, header):
    response = await told(browser, op.logout_token(header, **claims))
    assert response.status == 200
    assert response["cache-control"] == "no-store"
    assert not await is_signed_in(browser)


async def test_a_subjects_logout_ends_all_of_its_sessions_and_no_others(world, browser, op):
    second = world.browser(browser.gateway)
    op.sid = "op-session-2"
    await second.get(PAGE)
    op.person = {"sub": "bob"}
    third = world.browser(browser.gateway)
    op.sid = "op-session-3"
    await third.get(PAGE)
    await told(browser, op.logout_token(sub="alice", sid=ABSENT))
    assert [await is_signed_in(one) for one in (browser, second, third)] == [False, False, True]


async def test_a_sessions_logout_ends_no_other(world, browser, op):
    second = world.browser(browser.gateway)
    op.sid = "op-session-2"
    await second.get(PAGE)
    await told(browser, op.logout_token())
    assert [await is_signed_in(one) for one in (browser, second)] == [True, False]


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.test"},
        {"aud": "others"},
        {"aud": ABSENT},
        {"aud": {"ztproxy-web": 1}},
        {"iat": ABSENT},
        {"iat": 1_800_000_000 - 331},
        {"iat": 1_800_000_000 + 31},
        {"iat": "now"},
        {"iat": True},
        {"exp": 1_799_999_900},
        {"exp": "x"},
        {"jti": ABSENT},
        {"jti": ""},
        {"jti": 7},
        {"events": ABSENT},
        {"events": {}},
        {"events": "http://schemas.openid.net/event/backchannel-logout"},
        {"events": ["http://schemas.openid.net/event/backchannel-logout"]},
        {"events": {"http://schemas.openid.net/event/backchannel-logout": True}},
        {"events": {"http://schemas.openid.net/event/backchannel-logout/": {}}},
        {"events": {"http://schemas.openid.net/event/backchannel-logout": {}, "other": {}}},
        {"nonce": "x"},
        {"nonce": None},
        {"sub": ABSENT, "sid": ABSENT},
        {"sub": "", "sid": ABSENT},
        {"sub": ["alice"]},
        {"sid": None},
    ],
)
async def test_a_logout_token_that_does_not_hold(browser, op, claims):
    response = await told(browser, op.logout_token(**claims))
    assert (response.status, response.reason) == (400, "logout-refused")
    assert response["cache-control"] == "no-store"
    assert await is_signed_in(browser)


@pytest.mark.parametrize("header", [{"typ": "at+jwt"}, {"typ": "x"}, {"kid": "other"}, {"crit": ["x"]}])
async def test_a_token_of_another_kind(browser, op, header):
    assert (await told(browser, op.logout_token(header))).status == 400
    assert await is_signed_in(browser)


async def test_an_id_token_logs_nobody_out(browser, op):
    assert (await told(browser, op.sign())).status == 400
    assert await is_signed_in(browser)


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [("none", None), ("ES256", "evil"), ("ES384", "evil"), ("HS256", b"public")],
)
async def test_a_forged_one(browser, op, algorithm, key):
    sign = (
        (lambda _: b"")
        if key is None
        else signer(algorithm, key if isinstance(key, bytes) else private_key(algorithm, key))
    )
    claims = op.tokens.claims(
        aud="ztproxy-web", sid=op.sid, jti="1", events={"http://schemas.openid.net/event/backchannel-logout": {}}
    )
    assert (await told(browser, encode(op.tokens.head(alg=algorithm), claims, sign))).status == 400
    assert await is_signed_in(browser)


async def test_one_that_comes_twice(browser, op):
    token = op.logout_token()
    assert (await told(browser, token)).status == 200
    await browser.get(PAGE + "2", headers={"Cookie": None})
    assert await is_signed_in(browser)
    assert (await told(browser, token)).status == 400
    assert await is_signed_in(browser)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "application/x-www-form-urlencoded"),
        (b"logout_token=", "application/x-www-form-urlencoded"),
        (b"logout_token=a.b.c", "application/x-www-form-urlencoded"),
        (b"logout_token=TOKEN&logout_token=TOKEN", "application/x-www-form-urlencoded"),
        (b"token=TOKEN", "application/x-www-form-urlencoded"),
        (b"logout_token=TOKEN", "application/json"),
        (b"\xff", "application/x-www-form-urlencoded"),
        (b"logout_token=" + b"x" * 20_000, "application/x-www-form-urlencoded"),
    ],
)
async def test_what_holds_no_logout_token(browser, op, content, kind):
    response = await told(browser, content.replace(b"TOKEN", op.logout_token()).decode("latin-1"), kind=kind)
    assert response.status == 400
    assert await is_signed_in(browser)


async def test_more_content_than_a_token_has_is_refused(browser):
    assert (await told(browser, b"x" * 100_000)).status == 413


async def test_by_get_nobody_is_logged_out(browser, op):
    response = await browser.once(f"{BACK_CHANNEL}?logout_token={op.logout_token().decode()}")
    assert response.reason == "route-not-found"
    assert await is_signed_in(browser)


async def test_the_issuers_place_for_it_gets_what_it_needs(browser, op):
    await browser.post(LOGOUT, [])
    sent = next(url for url in browser.visited if "/end?" in url)
    assert set(query_of(sent)) == {"id_token_hint", "client_id", "post_logout_redirect_uri", "state"}


@pytest.mark.parametrize(
    ("known", "configured", "asked"),
    [
        (ABSENT, None, "login"),
        (["none", "login"], None, "login"),
        (["login", "select_account"], None, "select_account"),
        (ABSENT, "select_account", "select_account"),
        (["login", "select_account"], "login", "login"),
    ],
)
async def test_another_account_is_asked_for_as_the_issuer_knows_it(world, op, known, configured, asked):
    op.published["prompt_values_supported"] = known
    browser = world.browser(await world.gateway(op, login={"another_account": configured}))
    await browser.get(PAGE)
    await browser.post(LOGOUT, [("again", "/x")])
    assert op.asked_to_authorize[-1]["prompt"] == asked
