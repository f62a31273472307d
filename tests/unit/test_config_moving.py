import pytest
from pydantic import ValidationError

from ztproxy.config.moving import Redirect, Rewrite
from ztproxy.config.routes import Route


@pytest.mark.parametrize(
    "to",
    [
        "http://new.test/", "//evil.test", "/\\evil.test", "https:evil.test", "https:///x", "javascript:alert(1)",
        "https://user@new.test", "https://new.test@evil.test/", "https://new.test/#x", "https://new.test/../x",
        "https://new.test//x", "https://new.test\r\nSet-Cookie: a=b", "https://new.test/a b", "https://new.test/%2e",
        "https://new.test/?q=a b", "https://NEW.test/", "https://new.test:0/", "", "x", "https://new.test\\x",
    ],
)  # fmt: skip
def test_a_redirect_has_one_reading(to):
    with pytest.raises(ValidationError):
        Redirect.model_validate({"to": to})


@pytest.mark.parametrize(
    "to", ["https://new.test", "https://new.test:8443/a/", "/v2/", "https://[::1]/", "https://n.t/?a=b&c"]
)
def test_where_a_redirect_may_go(to):
    assert Redirect.model_validate({"to": to}).to == to


@pytest.mark.parametrize(
    "change", [{"to": "https://n.test/?q", "keep": True}, {"to": "/", "keep": True}, {"status": 303}]
)
def test_redirects_that_make_no_sense(change):
    with pytest.raises(ValidationError):
        Redirect.model_validate({"to": "https://n.test", **change})


@pytest.mark.parametrize(
    ("prefix", "to"),
    [
        ("api", "/v2"),
        ("/api/", "/v2"),
        ("/api//", "/v2/"),
        ("/a/../b", "/v2"),
        ("/a%2Fb", "/v2"),
        ("/a;b", "/v2"),
        ("/a", ""),
    ],
)
def test_a_rewrite_has_one_reading(prefix, to):
    with pytest.raises(ValidationError):
        Rewrite.model_validate({"prefix": prefix, "to": to})


def route(**more) -> Route:
    plain = {"name": "r", "hosts": ["*"], "require": [], "upstream": {"servers": ["http://h"]}}
    return Route.model_validate({key: value for key, value in (plain | more).items() if value is not None})


@pytest.mark.parametrize(
    ("paths", "prefix", "covered"),
    [
        (["/api/"], "/api/", True),
        (["/api/x"], "/api/", True),
        (["/api/x"], "/api", True),
        (["/api"], "/api", True),
        (["/api"], "/api/", False),
        (["/apiary"], "/api", False),
        (["/api/", "/"], "/api/", False),
        (["/"], "/", True),
        (["/x/"], "/", True),
    ],
)
def test_a_rewrite_covers_all_that_its_route_publishes(paths, prefix, covered):
    to = "/" if prefix == "/" or prefix.endswith("/") else "/v2"
    if covered:
        assert route(paths=paths, rewrite={"prefix": prefix, "to": to}).rewrite
    else:
        with pytest.raises(ValidationError, match="does not cover"):
            route(paths=paths, rewrite={"prefix": prefix, "to": to})


def test_a_route_goes_to_exactly_one_place():
    redirect = {"to": "https://new.test"}
    assert route(upstream=None, redirect=redirect).redirect
    for wrong in ({"redirect": redirect}, {"upstream": None}):
        with pytest.raises(ValidationError, match="either"):
            route(**wrong)
    with pytest.raises(ValidationError, match="rewrite"):
        route(upstream=None, redirect=redirect, rewrite={"prefix": "/", "to": "/v2/"})
    with pytest.raises(LookupError):
        _ = route(upstream=None, redirect=redirect).served_by


def test_a_rule_does_not_take_the_sticky_cookie_away():
    sticky = {"servers": ["http://h", "http://i"], "sticky": {"cookie": "at"}}
    with pytest.raises(ValidationError, match="sticky"):
        route(upstream=sticky, headers={"response": {"remove": ["Set-Cookie"]}})
    assert route(headers={"response": {"remove": ["Set-Cookie"]}})


def test_a_header_is_set_by_the_policy_or_by_a_rule():
    with pytest.raises(ValidationError, match="set by the policy"):
        route(policy_headers=["X-Role"], headers={"request": {"set": {"x-role": "admin"}}})
