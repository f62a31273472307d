import pytest
from pydantic import ValidationError

from ztproxy.config.cross_origin import Cors, readers

APP = b"https://app.test"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"origins": ["null"]},
        {"origins": ["https://app.test/"]},
        {"origins": ["https://APP.test"]},
        {"origins": ["https://*"]},
        {"origins": ["https://*.test"]},
        {"origins": ["https://a.*.test"]},
        {"origins": ["*.app.test"]},
        {"origins": ["app.test"]},
        {"origins": ["ftp://app.test"]},
        {"origins": ["https://app.test\n"]},
        {"origins": ["*", "https://app.test"]},
        {"origins": ["*"], "credentials": True},
        {"origins": ["http://app.test"], "credentials": True},
        {"origins": ["https://a.test"], "methods": ["get"]},
        {"origins": ["https://a.test"], "methods": ["TRACE"]},
        {"origins": ["https://a.test"], "headers": ["a b"]},
        {"origins": ["https://a.test"], "preflight": "forward"},
        {"preflight": "forward", "credentials": True},
    ],
)
def test_what_would_open_more_than_is_named_is_refused(wrong):
    with pytest.raises(ValidationError):
        Cors.model_validate(wrong)


def said(origin: bytes | None = APP, **cors):
    read = readers(Cors.model_validate({"origins": ["https://app.test"], **cors}))
    return dict(read(() if origin is None else ((b"origin", origin),)))


def test_a_named_page_is_told_by_its_name():
    assert said() == {b"access-control-allow-origin": APP, b"vary": b"Origin"}
    assert said(credentials=True)[b"access-control-allow-credentials"] == b"true"
    assert said(expose=["X-A", "X-B"])[b"access-control-expose-headers"] == b"X-A, X-B"


def test_any_page_is_told_by_no_name():
    assert said(b"https://anybody.test", origins=["*"]) == {b"access-control-allow-origin": b"*"}
    assert said(None, origins=["*"]) == {}


@pytest.mark.parametrize(
    ("pattern", "origin"),
    [
        ("https://*.corp.test", b"https://a.corp.test"),
        ("https://*.corp.test", b"https://a.b.corp.test"),
        ("https://*.corp.test:8443", b"https://a.corp.test:8443"),
        ("http://localhost:3000", b"http://localhost:3000"),
        ("https://[::1]:3000", b"https://[::1]:3000"),
    ],
)
def test_patterns(pattern, origin):
    assert said(origin, origins=[pattern])[b"access-control-allow-origin"] == origin


STRANGERS = [
    b"https://evil.test", b"https://app.test.evil.test", b"https://evilapp.test", b"https://app.test:444", b"null",
    b"http://app.test", b"https://app.test/", b"https://APP.test", b"https://app.test,https://evil.test", b"",
    b"https://app.test@evil.test", b"https://app.test\x00", b"https://appxtest", b"https://app.test ", b"*",
]  # fmt: skip


@pytest.mark.parametrize("origin", STRANGERS)
def test_others_are_told_nothing(origin):
    assert said(origin) == {b"vary": b"Origin"}


@pytest.mark.parametrize(
    "origin",
    [
        b"https://corp.test", b"https://evilcorp.test", b"https://.corp.test", b"https://a.corp.test.evil.test",
        b"https://a.corpxtest", b"http://a.corp.test", b"https://a.corp.test:1", b"https://a/.corp.test",
        b"https://evil.test#.corp.test", b"https://evil.test?.corp.test", b"https://evil.test\\.corp.test",
        b"https://A.corp.test", b"https://e@.corp.test",
    ],
)  # fmt: skip
def test_a_wildcard_is_whole_labels(origin):
    assert said(origin, origins=["https://*.corp.test"]) == {b"vary": b"Origin"}


def test_two_origins_are_none():
    read = readers(Cors(origins=("https://app.test",)))
    assert read(((b"origin", APP), (b"origin", APP))) == ((b"vary", b"Origin"),)
