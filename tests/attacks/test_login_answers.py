"""An issuer's answer logs in nobody but the person who began that very login in this very browser."""

import asyncio
import hashlib

import pytest
from aiohttp import web

from tests.login_server import AUTHORIZE, CLIENT, DISCOVERY, TOKEN, USERINFO, LoginWorld, query_of
from tests.tokens import ABSENT, encode, private_key, signer
from ztproxy.identity.login import grants

PAGE = "https://app.test/x?y=1"
CALLBACK = "https://app.test/.well-known/ztproxy/callback"


@pytest.fixture
async def world(tmp_path):
    async with LoginWorld(tmp_path) as world:
        yield world


@pytest.fixture
async def op(world):
    return await world.op()


@pytest.fixture
async def browser(world, op):
    return world.browser(await world.gateway(op))


async def answered(browser, page=PAGE):
    """The answer of the issuer that the browser would follow now."""
    sent = await browser.once(page)
    return (await browser.once(sent["location"]))["location"]


async def refused(browser, answer, reason="login-failed", *, known=True):
    """The refusal of an answer; where the login is known that it belongs to, that login is over."""
    response = await browser.once(answer)
    assert response.reason == reason, response.body
    assert browser.session() is None
    assert browser.gateway.policy.asked == []
    if known:
        assert f"__Host-ztproxy-id-login-{query_of(answer).get('state', '')[:12]}" not in browser.logins()
    return response


async def test_a_login_leads_back_to_the_page_that_was_asked_for(browser, op):
    response = await browser.get(PAGE)
    assert (response.status, response.url) == (200, PAGE)
    assert browser.gateway.policy.asked[-1].token.subject == "alice"
    assert browser.logins() == []
    asked = op.asked_to_authorize[0]
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == CALLBACK
    assert {len(asked[name]) for name in ("state", "nonce", "code_challenge")} == {43}
    assert len({asked[name] for name in ("state", "nonce", "code_challenge")}) == 3
    assert asked["scope"] == "openid profile email"
    upstream = browser.gateway.forward.last.authorized.arrived
    assert not any(b"ztproxy" in value for name, value in upstream.fields if name == b"cookie")


async def test_each_login_has_secrets_of_its_own(browser, op):
    for _ in range(2):
        await answered(browser)
    first, second = op.asked_to_authorize
    assert not {first[name] for name in ("state", "nonce", "code_challenge")} & set(second.values())


@pytest.mark.parametrize(
    "query",
    ["", "?code=x", "?code=x&state=", "?code=x&state=short", f"?code=x&state={'A' * 43}", "?state", "?=&&"],
)
async def test_an_answer_without_a_login_of_this_browser(browser, query):
    response = await refused(browser, CALLBACK + query)
    assert response.status == 400


async def test_a_state_twice(browser):
    answer = await answered(browser)
    await refused(browser, f"{answer}&state={query_of(answer)['state']}", known=False)


async def test_an_answer_in_another_browser(world, browser):
    """Login CSRF: an attacker's own answer, followed by a victim."""
    victim = world.browser(browser.gateway)
    answer = await answered(browser)
    await refused(victim, answer)
    await answered(victim)  # with a login of the victim's own under way it counts no more
    await refused(victim, answer)


async def test_the_code_of_another_login(world, browser):
    """Code injection: the victim's state with the attacker's code (RFC 9700 §4.5)."""
    attacker = world.browser(browser.gateway)
    stolen = query_of(await answered(attacker))["code"]
    answer = await answered(browser)
    await refused(browser, answer.replace(query_of(answer)["code"], stolen))


async def test_a_code_with_the_nonce_of_another_login(world, browser, op):
    """As above, at an issuer that does not check PKCE: the nonce alone holds."""
    attacker = world.browser(browser.gateway)
    stolen = query_of(await answered(attacker))["code"]
    answer = await answered(browser)
    op.codes[stolen]["code_challenge"] = op.codes[query_of(answer)["code"]]["code_challenge"]
    response = await refused(browser, answer.replace(query_of(answer)["code"], stolen))
    assert "nonce" in response.cause


async def test_a_code_of_another_login_with_the_nonce_of_this_one(world, browser, op):
    """The other way round, at an issuer that gives our nonce away: PKCE alone holds."""
    attacker = world.browser(browser.gateway)
    stolen = query_of(await answered(attacker))["code"]
    answer = await answered(browser)
    op.codes[stolen]["nonce"] = op.codes[query_of(answer)["code"]]["nonce"]
    response = await refused(browser, answer.replace(query_of(answer)["code"], stolen))
    assert "invalid_grant" in response.cause


async def test_an_answer_that_comes_twice(world, browser):
    answer, before = await answered(browser), dict(browser.jar["app.test"])
    assert (await browser.once(answer)).status == 303
    again = world.browser(browser.gateway)
    again.jar["app.test"] = before
    await refused(again, answer)


async def test_an_answer_that_comes_twice_at_an_issuer_that_takes_codes_twice(world, browser, op):
    answer, before = await answered(browser), dict(browser.jar["app.test"])
    code = query_of(answer)["code"]
    kept = op.codes[code]
    assert (await browser.once(answer)).status == 303
    op.codes[code] = kept
    again = world.browser(browser.gateway)
    again.jar["app.test"] = before
    response = await refused_session(again, answer)
    assert response.cause == "this login is over already"


async def refused_session(browser, answer):
    response = await browser.once(answer)
    assert response.reason == "login-failed"
    assert browser.session() is None
    return response


async def test_an_answer_that_comes_late(world, browser):
    answer = await answered(browser)
    world.clock.advance(600)
    await refused(browser, answer, known=False)


async def test_a_login_begun_on_another_host(world, op):
    routes = [world.route("app", hosts=["app.test", "other.test"], issuers=[op.url], login=op.url)]
    browser = world.browser(await world.gateway(op, routes=routes))
    answer = await answered(browser)
    browser.jar["other.test"] = browser.jar["app.test"]
    await refused(browser, answer.replace("app.test", "other.test"), known=False)


async def test_a_host_where_nobody_logs_in(world, op):
    plain = world.route("plain", hosts=["plain.test"], issuers=[op.url])
    routes = [world.route("app", hosts=["app.test"], issuers=[op.url], login=op.url), plain]
    browser = world.browser(await world.gateway(op, routes=routes))
    for name in ("callback", "login", "handover", "logout", "logged-out", "backchannel-logout"):
        response = await browser.once(f"https://plain.test/.well-known/ztproxy/{name}")
        assert response.reason == "route-not-found", name


@pytest.mark.parametrize("change", [lambda v: v[:-3] + "AAA", lambda v: v[:40], lambda _: "", lambda v: v + "A" * 5000])
async def test_a_cookie_that_was_changed(browser, change):
    answer = await answered(browser)
    jar = browser.jar["app.test"]
    name = browser.logins()[0]
    jar[name] = change(jar[name])
    await refused(browser, answer, known=False)


async def test_a_cookie_that_comes_twice(browser):
    answer = await answered(browser)
    name = browser.logins()[0]
    value = browser.jar["app.test"].pop(name)
    response = await browser.once(answer, headers={"Cookie": f"{name}={value}; {name}={value}"})
    assert response.reason == "login-failed"


@pytest.mark.parametrize("issuer", ["https://evil.test", "", ABSENT])
async def test_an_answer_of_another_issuer(browser, op, issuer):
    """Mix-up (RFC 9207): this issuer always names itself."""
    op.returned["iss"] = issuer
    response = await refused(browser, await answered(browser))
    assert op.grants == []
    assert response.status == 403


async def test_an_issuer_that_does_not_name_itself_need_not(browser, op):
    op.returned["iss"] = ABSENT
    op.published["authorization_response_iss_parameter_supported"] = ABSENT
    assert (await browser.get(PAGE)).status == 200


async def test_an_issuer_that_names_another_counts_never(browser, op):
    op.returned["iss"] = "https://evil.test"
    op.published["authorization_response_iss_parameter_supported"] = ABSENT
    await refused(browser, await answered(browser))


async def test_the_answer_of_one_issuer_for_the_login_at_another(world, op):
    other = await world.op(kid="key-2")
    routes = [
        world.route("app", hosts=["app.test"], issuers=[op.url, other.url], login=op.url),
        world.route("b", hosts=["app.test"], paths=["/b"], issuers=[op.url, other.url], login=other.url),
    ]
    browser = world.browser(await world.gateway(op, other, routes=routes))
    other.returned["iss"] = ABSENT
    other.published["authorization_response_iss_parameter_supported"] = ABSENT
    here, there = await answered(browser), await answered(browser, "https://app.test/b")
    mixed = there.replace(query_of(there)["state"], query_of(here)["state"])
    await refused(browser, mixed)
    assert op.grants == []


@pytest.mark.parametrize(
    ("error", "reason", "status"),
    [
        ("access_denied", "login-failed", 403),
        ("login_required", "login-failed", 403),
        ("unmet_authentication_requirements", "step-up-failed", 403),
        ("temporarily_unavailable", "issuer-unavailable", 503),
        ('"><script>1</script>', "login-failed", 403),
        ("", "login-failed", 403),
    ],
)
async def test_an_error_of_the_issuers(browser, op, error, reason, status):
    op.returned.update(code=ABSENT, error=error, error_description='<script>alert("1")</script>\r\nx: y')
    response = await refused(browser, await answered(browser), reason)
    assert response.status == status
    assert b"<script" not in response.body
    assert b'href="/x?y=1"' in response.body
    assert op.grants == []


async def test_an_error_beside_a_code(browser, op):
    op.returned.update(error="access_denied")
    await refused(browser, await answered(browser))
    assert op.grants == []


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": ABSENT},
        {"nonce": "another"},
        {"nonce": ""},
        {"nonce": 1},
        {"aud": "ztproxy"},
        {"aud": ["ztproxy", "others"]},
        {"aud": []},
        {"aud": [CLIENT, "others"]},
        {"aud": [CLIENT, "others"], "azp": "others"},
        {"azp": "others"},
        {"azp": ""},
        {"iss": "https://evil.test"},
        {"sub": ABSENT},
        {"sub": ""},
        {"exp": ABSENT},
        {"exp": 1},
        {"iat": ABSENT},
        {"iat": 9_000_000_000},
        {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
        {"at_hash": ""},
        {"auth_time": "now"},
        {"sid": ""},
        {"sid": 7},
        {"acr": ["urn:one"]},
    ],
)
async def test_an_id_token_that_does_not_hold(browser, op, claims):
    op.id_token = claims
    response = await refused(browser, await answered(browser))
    assert response.status == 502
    assert "ID token" in response.cause


@pytest.mark.parametrize("claims", [{"aud": [CLIENT]}, {"aud": [CLIENT, "others"], "azp": CLIENT}, {"at_hash": ABSENT}])
async def test_an_id_token_that_holds(browser, op, claims):
    op.id_token = claims
    assert (await browser.get(PAGE)).status == 200


@pytest.mark.parametrize(
    "header",
    [{"typ": "at+jwt"}, {"typ": "logout+jwt"}, {"kid": "other"}, {"crit": ["x"]}, {"jku": "https://evil.test"}],
)
async def test_a_token_of_another_kind_in_its_place(browser, op, header):
    op.header = header
    await refused(browser, await answered(browser))


def forged(op, kind):
    head, claims = op.tokens.head(), None

    def make(nonce, access_token):
        nonlocal claims
        claims = {
            "iss": op.url, "sub": "alice", "aud": CLIENT, "nonce": nonce, "iat": int(op._clock.wall),
            "exp": int(op._clock.wall) + 60,
        }  # fmt: skip
        match kind:
            case "none":
                return encode(head | {"alg": "none"}, claims, lambda _: b"")
            case "hmac by the public key":
                key = str(op.tokens.jwk()).encode()
                return encode(head | {"alg": "HS256"}, claims, signer("HS256", key))
            case "another's key":
                return encode(head, claims, signer("ES256", private_key("ES256", "evil")))
            case _:
                return encode(head | {"alg": "ES384"}, claims, signer("ES384", private_key("ES384", "evil")))

    return make


@pytest.mark.parametrize("kind", ["none", "hmac by the public key", "another's key", "another algorithm"])
async def test_a_forged_id_token(browser, op, kind):
    op.sign = forged(op, kind)
    await refused(browser, await answered(browser))


@pytest.mark.parametrize(
    "given",
    [
        {"id_token": ABSENT},
        {"id_token": None},
        {"id_token": "x"},
        {"id_token": "a.b.c"},
        {"id_token": "x" * 20_000},
        {"id_token": ["x"]},
        {"access_token": ABSENT},
        {"access_token": ""},
        {"access_token": 7},
        {"token_type": ABSENT},
        {"token_type": "mac"},
        {"refresh_token": "é"},
    ],
)
async def test_an_answer_of_the_token_endpoint_that_does_not_hold(browser, op, given):
    op.given = given
    response = await browser.once(await answered(browser))
    assert response.status in (502, 503, 403)
    assert response.reason in ("login-failed", "issuer-unavailable")
    assert browser.session() is None


def says(body, status=200, kind="application/json", **headers):
    async def answer(_):
        return web.Response(body=body, status=status, content_type=kind, headers=headers)

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        says(b"<html>log in</html>", kind="text/html"),
        says(b""),
        says(b"[]"),
        says(b'{"error": "invalid_client"}', 500),
        says(b'{"error": "slow_down"}', 429),
        says(b'{"a": "' + b"x" * 1_000_000 + b'"}'),
        says(b"", 302, Location="/elsewhere"),
        says(b"[" * 100_000),
    ],
    ids=["html", "empty", "list", "500", "429", "megabyte", "redirect", "deep"],
)
async def test_a_token_endpoint_that_talks_nonsense(browser, op, answer):
    op.answers[TOKEN] = answer
    await refused(browser, await answered(browser), "issuer-unavailable")
    assert "/elsewhere" not in op.asked


@pytest.mark.parametrize(("padding", "reason"), [(1000, None), (300_000, "issuer-unavailable")])
async def test_a_good_answer_of_the_token_endpoint_is_read_as_far_as_is_needed(browser, op, padding, reason):
    async def padded(request):
        asked = op.codes.pop((await request.post())["code"])
        return web.json_response(op._tokens(asked["nonce"]) | {"padding": "x" * padding})

    op.answers[TOKEN] = padded
    answer = await answered(browser)
    if reason is None:
        assert (await browser.once(answer)).status == 303
    else:
        await refused(browser, answer, reason)


async def test_a_token_endpoint_that_refuses(browser, op):
    op.answers[TOKEN] = says(b'{"error": "invalid_client", "error_description": "<script>"}', 401)
    response = await refused(browser, await answered(browser))
    assert b"<script" not in response.body
    assert "invalid_client" in response.cause


@pytest.mark.interpreted
async def test_a_token_endpoint_that_hangs(browser, op, monkeypatch):
    monkeypatch.setattr(grants, "ASK_TIME", 0.05)
    op.answers[TOKEN] = op.hang
    await refused(browser, await answered(browser), "issuer-unavailable")


@pytest.mark.interpreted
async def test_a_flood_of_answers_asks_the_issuer_few_things_at_once(world, browser, op, monkeypatch):
    monkeypatch.setattr(grants, "MOST_AT_ONCE", 2)
    held = []
    come = asyncio.Event()

    async def hold(request):
        held.append(request)
        if len(held) == 2:
            come.set()
        return await op.hang(request)

    op.answers[TOKEN] = hold
    browsers = [world.browser(browser.gateway) for _ in range(3)]
    answers = [await answered(one) for one in browsers]
    waiting = [asyncio.ensure_future(one.once(a)) for one, a in zip(browsers[:2], answers[:2], strict=True)]
    await come.wait()
    assert (await browsers[2].once(answers[2])).reason == "issuer-unavailable"
    assert len(held) == 2
    op.hold.set()
    assert [(await one).reason for one in waiting] == ["issuer-unavailable"] * 2


async def test_sending_somebody_to_log_in_keeps_nothing(browser):
    for _ in range(50):
        browser.jar.clear()
        assert (await browser.once(PAGE)).status == 303
    assert await browser.gateway.kept() == {}


async def test_answers_that_nobody_asked_for_keep_nothing(world, browser, op):
    for _ in range(5):
        answer = await answered(browser)
        await refused(browser, answer.replace(query_of(answer)["code"], "wrong"))
    assert await browser.gateway.kept() == {}


async def test_logins_side_by_side_are_few(browser):
    for page in range(8):
        await browser.once(f"https://app.test/{page}")
    assert len(browser.logins()) == 4
    answer = await answered(browser)
    browser_cookies = sum(map(len, browser.jar["app.test"].values()))
    assert browser_cookies < 8192
    assert (await browser.once(answer)).status == 303


async def test_the_longest_address_fits_a_cookie(browser):
    page = "https://app.test/" + "a" * 1500 + "?" + "b" * 5000
    response = await browser.get(page)
    assert response.status == 200
    assert response.url == "https://app.test/" + "a" * 1500


async def test_the_session_is_new_after_the_login(world, browser):
    """Fixation: a cookie that somebody planted is not the one after the login."""
    planted = "A" * 43
    browser.jar["app.test"] = {"__Host-ztproxy-id": planted}
    await browser.get(PAGE)
    first = browser.session()
    assert first not in (None, planted)
    answer = await answered(world.browser(browser.gateway))
    assert answer
    sent = await browser.gateway.ask(
        b"GET /x HTTP/1.1\r\nHost: app.test\r\nCookie: __Host-ztproxy-id=%s\r\n\r\n" % planted.encode()
    )
    assert sent.status == 401


async def test_the_session_before_is_over(world, browser):
    await browser.get(PAGE)
    first = browser.session()
    answer = await answered_with(browser)
    await browser.once(answer)
    assert browser.session() != first
    old = world.browser(browser.gateway)
    old.jar["app.test"] = {"__Host-ztproxy-id": first}
    assert (await old.once(PAGE)).status == 303


async def answered_with(browser):
    """An answer for a browser that has a session: as in a tab that was left open."""
    session = browser.jar["app.test"].pop("__Host-ztproxy-id")
    browser.jar["app.test"].pop("__Host-ztproxy-id-done", None)
    answer = await answered(browser)
    browser.jar["app.test"]["__Host-ztproxy-id"] = session
    return answer


async def test_userinfo_about_another_person(world, op):
    browser = world.browser(await world.gateway(op, login={"userinfo": True}))
    op.userinfo = {"sub": "mallory", "groups": ["admins"]}
    assert (await refused(browser, await answered(browser))).status == 502


async def test_userinfo_adds_claims_and_changes_none_of_the_login(world, op):
    browser = world.browser(await world.gateway(op, login={"userinfo": True}))
    op.acr = None
    op.userinfo = {"sub": "alice", "groups": ["staff"], "acr": "urn:best", "auth_time": 1, "iss": "x", "name": "A"}
    await browser.get(PAGE)
    claims = browser.gateway.policy.asked[-1].token.claims
    assert (claims["groups"], claims["auth_time"], claims["iss"]) == (["staff"], 1_800_000_000, op.url)
    assert "acr" not in claims
    assert claims["name"] == "Alice Example"


@pytest.mark.parametrize("body", [b"a.b.c", b"[]", b'{"sub": "alice"'])
async def test_userinfo_that_talks_nonsense(world, op, body):
    browser = world.browser(await world.gateway(op, login={"userinfo": True}))
    op.answers[USERINFO] = says(body)
    await refused(browser, await answered(browser), "issuer-unavailable")


async def test_an_issuer_that_is_away(world, browser, op):
    await op.stop()
    response = await refused(browser, PAGE, "issuer-unavailable")
    assert response.status == 503
    assert response["retry-after"]
    assert b"nobody can log in just now" in response.body


async def test_an_issuer_that_goes_away_in_between(browser, op):
    answer = await answered(browser)
    await op.stop()
    await refused(browser, answer, "issuer-unavailable")


async def test_an_issuer_whose_metadata_leads_elsewhere(world):
    op = await world.op()
    op.published["authorization_endpoint"] = "http://evil.test/authorize"
    browser = world.browser(await world.gateway(op))
    await refused(browser, PAGE, "issuer-unavailable")
    assert DISCOVERY in op.asked
    assert AUTHORIZE not in op.asked


def test_the_fixture_hashes_as_the_specification_says():
    digest = hashlib.sha256(b"jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y").digest()
    from tests.tokens import base64url

    assert base64url(digest[:16]) == b"77QmUPtjPfzWtF2AnpK9RQ"
