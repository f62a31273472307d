"""What a token endpoint may answer, and what becomes of everything else."""

import json

import pytest

from ztproxy.identity.exchange.answer import MAXIMUM_ISSUED, TYPES, Issued, read_answer
from ztproxy.identity.issuers.fetching import Answer
from ztproxy.model import Reason

GOOD = {
    "access_token": "for-orders",
    "issued_token_type": TYPES["access_token"],
    "token_type": "Bearer",
    "expires_in": 300,
}


def read(body, status=200, media_type="application/json", requested="access_token"):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_answer(Answer(status, media_type, content), requested, b"callers-own")


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER"])
def test_a_token_and_how_long_it_counts(kind):
    assert read(GOOD | {"token_type": kind, "scope": "read", "refresh_token": "x"}) == Issued(b"for-orders", 300.0)
    assert read(GOOD | {"issued_token_type": TYPES["jwt"]}, requested="jwt") == Issued(b"for-orders", 300.0)


def test_without_a_lifetime_it_is_for_once():
    assert read({name: value for name, value in GOOD.items() if name != "expires_in"}) == Issued(b"for-orders", None)
    assert read(GOOD | {"expires_in": None}) == Issued(b"for-orders", None)


@pytest.mark.parametrize(
    "changes",
    [
        {"token_type": "N_A"},
        {"token_type": "DPoP"},
        {"token_type": "mac"},
        {"token_type": None},
        {"token_type": ["Bearer"]},
        {"issued_token_type": TYPES["jwt"]},
        {"issued_token_type": "urn:ietf:params:oauth:token-type:saml2"},
        {"issued_token_type": None},
        {"access_token": None},
        {"access_token": ""},
        {"access_token": 7},
        {"access_token": ["x"]},
        {"access_token": "a b"},
        {"access_token": "x\r\nX-Role: admin"},
        {"access_token": "x\n"},
        {"access_token": "\u00fc"},
        {"access_token": "x" * (MAXIMUM_ISSUED + 1)},
        {"access_token": "callers-own"},
        {"expires_in": "300"},
        {"expires_in": True},
        {"expires_in": 0},
        {"expires_in": -1},
        {"expires_in": 1e300},
        {"expires_in": [300]},
    ],
    ids=repr,
)
def test_what_is_no_such_answer_is_refused(changes):
    refusal = read(GOOD | changes)
    assert (refusal.reason, refusal.status, refusal.detail) == (Reason.TOKEN_EXCHANGE_FAILED, 502, "")
    assert "RFC 8693" in refusal.cause


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"<html>log in</html>", "text/html"),
        (json.dumps(GOOD).encode(), "text/html"),
        (json.dumps(GOOD).encode(), "text/plain"),
        (b"<html>", "application/json"),
        (b"", "application/json"),
        (b"[]", "application/json"),
        (b"null", "application/json"),
        (b'{"access_token": "a", "access_token": "b"}', "application/json"),
        (b"[" * 100_000, "application/json"),
        (b'{"expires_in": NaN}', "application/json"),
        (b"\xff", "application/json"),
    ],
)
def test_what_is_no_json_object_is_refused(body, media_type):
    assert read(body, media_type=media_type).status == 502


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (400, "invalid_request", 403),
        (400, "invalid_grant", 403),
        (403, "access_denied", 403),
        (400, "invalid_target", 502),
        (400, "invalid_scope", 502),
        (401, "invalid_client", 502),
        (400, "unauthorized_client", 502),
        (400, "unsupported_grant_type", 502),
        (400, "temporarily_unavailable", 503),
        (418, "short_and_stout", 502),
        (302, "access_denied", 403),
        (400, 'x"\r\nforged', 502),
        (400, None, 502),
        (400, "x" * 65, 502),
    ],
)
def test_an_error_tells_whose_fault_it_is(status, error, expected):
    refusal = read({"error": error, "error_description": "a\r\nline of its own"}, status)
    assert refusal.status == expected
    assert "line of its own" not in refusal.cause
    assert "\n" not in refusal.cause


@pytest.mark.parametrize("status", [429, 500, 502, 503, 599])
def test_an_issuer_in_trouble_is_come_back_to(status):
    refusal = read(b"<html>", status, "text/html")
    assert refusal.status == 503
    assert dict(refusal.fields) == {b"retry-after": b"5"}


@pytest.mark.parametrize("status", [201, 204, 301, 307])
def test_a_success_of_another_kind_is_none(status):
    assert read(GOOD, status).status == 502
