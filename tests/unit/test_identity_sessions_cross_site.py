"""Every combination of what a browser says of who caused a request."""

import itertools

import pytest
from msgspec.structs import replace

from tests.issuer_server import World
from ztproxy.config.cross_origin import Cors
from ztproxy.identity.sessions.cross_site import crossing
from ztproxy.model import Reason

OWN, SUB, OTHER = "https://r.test", "https://sub.r.test", "https://evil.test"
ORIGINS = (
    None,
    OWN,
    SUB,
    OTHER,
    "null",
    "http://r.test",
    "https://r.test:8443",
    "https://r.test.evil.test",
    "HTTPS://R.TEST",
    "",
)
SITES = (None, "same-origin", "same-site", "cross-site", "none", "nonsense")
UNSAFE = ("POST", "PUT", "PATCH", "DELETE", "PROPFIND")
ASKING = [
    ("GET", None),
    ("HEAD", None),
    ("OPTIONS", None),
    *((method, None) for method in UNSAFE),
    ("GET", "websocket"),
]


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    return World(tmp_path_factory.mktemp("world")).routed().arrived


def told(bare, method="POST", upgrade=None, **fields):
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items() if value is not None]
    return replace(bare, method=method, upgrade=upgrade, fields=tuple(named))


@pytest.mark.parametrize(("origin", "site"), list(itertools.product(ORIGINS, SITES)))
def test_what_may_change_something_comes_from_this_very_origin(bare, origin, site):
    own = (origin == OWN and site in {None, "same-origin"}) or (origin in {None, "null"} and site == "same-origin")
    for method, upgrade in ASKING:
        safe = method in {"GET", "HEAD", "OPTIONS"} and upgrade is None
        refusal = crossing(None)(told(bare, method, upgrade, origin=origin, sec_fetch_site=site))
        assert (refusal is None) == (safe or own), (method, upgrade)
        assert refusal is None or (refusal.reason, refusal.status) == (Reason.CROSS_SITE_REFUSED, 403)


@pytest.mark.parametrize(
    "fields",
    [
        ((b"origin", OWN.encode()), (b"origin", OWN.encode())),
        ((b"origin", OWN.encode()), (b"origin", OTHER.encode())),
        ((b"origin", OTHER.encode()), (b"origin", OWN.encode())),
        ((b"origin", OWN.encode()), (b"sec-fetch-site", b"same-origin"), (b"sec-fetch-site", b"cross-site")),
        ((b"origin", OWN.encode() + b" " + OTHER.encode()),),
        ((b"origin", OWN.encode() + b"/"),),
        ((b"referer", OWN.encode() + b"/form"),),
    ],
)
def test_several_answers_and_near_ones_are_none(bare, fields):
    asked = replace(bare, method="POST", fields=fields)
    assert crossing(None)(asked).reason is Reason.CROSS_SITE_REFUSED


def test_the_origin_is_the_one_that_was_asked_with_its_port(bare):
    asked = {"method": "POST", "authority": b"r.test:8443", "port": 8443}
    for origin, passes in ((b"https://r.test:8443", True), (b"https://r.test", False)):
        one = replace(bare, fields=((b"origin", origin),), **asked)
        assert (crossing(None)(one) is None) == passes


NAMED = {"origins": ("https://app.test", "https://*.partner.test"), "credentials": True}


@pytest.mark.parametrize(
    ("cors", "origin", "passes"),
    [
        (NAMED, "https://app.test", True),
        (NAMED, "https://a.partner.test", True),
        (NAMED, "https://partner.test", False),
        (NAMED, "https://evil.test", False),
        (NAMED, "null", False),
        (NAMED | {"credentials": False}, "https://app.test", False),
        ({"origins": ("*",)}, "https://app.test", False),
        ({"preflight": "forward"}, "https://app.test", False),
    ],
)
@pytest.mark.parametrize("site", [None, "cross-site", "same-site"])
def test_pages_that_are_named_with_credentials_pass(bare, cors, origin, passes, site):
    refusal = crossing(Cors(**cors))(told(bare, origin=origin, sec_fetch_site=site))
    assert (refusal is None) == passes


def test_the_log_says_what_the_browser_said(bare):
    assert crossing(None)(told(bare)).cause == "neither Origin nor Sec-Fetch-Site"
    refusal = crossing(None)(told(bare, origin=OTHER, sec_fetch_site="cross-site"))
    assert refusal.cause == "origin: https://evil.test, sec-fetch-site: cross-site"
    assert refusal.detail == ""
