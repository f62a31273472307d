"""What a refused client is shown."""

import json

import pytest

from ztproxy.edge.refusals import render
from ztproxy.model import Reason, Refusal
from ztproxy.page import prefers_html

ID = "0123456789abcdef0123456789abcdef"


def test_json_is_rfc_9457():
    refusal = Refusal(Reason.TOKEN_EXPIRED, "it expired", "secret cause", fields=((b"WWW-Authenticate", b"Bearer"),))
    answer = render(refusal, ID, [], show_reasons=False)
    assert answer.status == 401
    assert json.loads(answer.body) == {
        "type": "urn:ztproxy:reason:token-expired",
        "title": "The token has expired.",
        "status": 401,
        "reason": "token-expired",
        "detail": "it expired",
        "request_id": ID,
    }
    fields = dict(answer.fields)
    assert fields[b"www-authenticate"] == b"Bearer"
    assert fields[b"content-type"] == b"application/problem+json"
    assert (fields[b"cache-control"], fields[b"x-content-type-options"]) == (b"no-store", b"nosniff")


def test_the_policys_reasons_are_shown_only_where_allowed():
    refusal = Refusal(Reason.POLICY_DENIED, reasons=("only on weekdays",))
    assert b"weekdays" not in render(refusal, ID, [], show_reasons=False).body
    assert json.loads(render(refusal, ID, [], show_reasons=True).body)["reasons"] == ["only on weekdays"]
    assert b"weekdays" not in render(refusal, ID, [b"text/html"], show_reasons=False).body
    assert b"<li>only on weekdays</li>" in render(refusal, ID, [b"text/html"], show_reasons=True).body


def test_the_cause_is_never_shown():
    refusal = Refusal(Reason.INTERNAL_ERROR, cause="unsaid")
    for accept in ([], [b"text/html"]):
        assert b"unsaid" not in render(refusal, ID, accept, show_reasons=True).body


def test_the_page_is_escaped_and_runs_nothing():
    refusal = Refusal(Reason.POLICY_DENIED, "<script>1</script>", reasons=('"><img src=x>',))
    answer = render(refusal, ID, [b"text/html"], show_reasons=True)
    assert b"<script" not in answer.body
    assert b"<img" not in answer.body
    assert b'<html lang="en">' in answer.body
    policy = dict(answer.fields)[b"content-security-policy"]
    assert policy.startswith(b"default-src 'none'; style-src 'sha256-")
    assert b"unsafe" not in policy


def test_a_field_cannot_split_the_response():
    refusal = Refusal(Reason.RATE_LIMITED, fields=((b"retry-after", b"1\r\nx: y"),))
    assert dict(render(refusal, ID, [], show_reasons=False).fields)[b"retry-after"] == b"1  x: y"


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (b"", False),
        (b"*/*", False),
        (b"application/json", False),
        (b"text/html", True),
        (b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        (b"application/json, text/html;q=0.5", False),
        (b"application/problem+json;q=0.2, text/html;q=0.5", True),
        (b"text/html;q=0", False),
        (b"text/html;q=x", True),
        (b";;,,\xff", False),
    ],
)
def test_html_goes_to_those_who_prefer_it(accept, html):
    assert prefers_html([accept]) is html


def test_a_status_may_be_said_more_precisely():
    assert render(Refusal(Reason.REQUEST_TOO_LARGE, status_code=431), ID, [], show_reasons=False).status == 431
